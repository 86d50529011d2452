#!/usr/bin/env python3
"""The flags of other servers, from their published packages, as JSON: peer_flags.py FOLDER > tests/e2e/peer_flags.json.

FOLDER holds what these leave there (560 MB; nothing is installed or run):
    pip download --no-deps --only-binary :all: vllm==V sglang==V xinference==V
    pip download --no-deps --no-binary :all: llama-cpp-python==V      # llama.cpp's sources are in it
    go mod download, then cmd/cmd.go of github.com/ollama/ollama as ollama-V.go
--check FILE: fail if a flag that our table names is no longer a flag of the server it is said to be of.
"""

import argparse
import ast
import json
import pathlib
import re
import sys
import tarfile
import zipfile


def flags_in_calls(source, function):
    """Constant arguments that begin with - of every call of a function or method of that name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        name = node.func if isinstance(node, ast.Call) else None
        name = getattr(name, "attr", getattr(name, "id", None))
        if name == function:
            for value in node.args:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.startswith("-"):
                    found.update(value.value.split("/"))
    return found


def flags_of_fields(source, classes=None):
    """Annotated fields of classes as flags, with the aliases and names that Arg(...) gives them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef) or (classes and node.name not in classes):
            continue
        for field in node.body:
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if named and not field.target.id.startswith("_"):
                found.add("--" + field.target.id.replace("_", "-"))
                for keyword in (k for c in ast.walk(field.annotation) if isinstance(c, ast.Call) for k in c.keywords):
                    if keyword.arg in ("aliases", "cli_name"):
                        for text in ast.walk(keyword.value):
                            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                                found.add(text.value)
    return found


def both_ways(flags, source):
    """Boolean flags of vLLM have a --no- form."""
    return flags | {"--no-" + f[2:] for f in flags if f.startswith("--")} if "BooleanOptionalAction" in source else flags


def vllm(wheel):
    engine = wheel.read("vllm/engine/arg_utils.py").decode()
    front = wheel.read("vllm/entrypoints/common/cli_args.py").decode()
    return both_ways(flags_in_calls(engine, "add_argument"), engine) | flags_in_calls(front, "add_argument") | (
        flags_of_fields(front, {"BaseFrontendArgs", "FrontendArgs"})) | (
        flags_in_calls(wheel.read("vllm/entrypoints/cli/serve.py").decode(), "add_argument"))


def sglang(wheel):
    found = flags_in_calls(wheel.read("sglang/srt/server_args.py").decode(), "add_argument")
    for name in wheel.namelist():
        if name.startswith("sglang/srt/arg_groups/fields/") and name.endswith(".py"):
            found |= flags_of_fields(wheel.read(name).decode())
    return found


def xinference(wheel):
    return flags_in_calls(wheel.read("xinference/deploy/cmdline.py").decode(), "option")


def llama_cpp(source):
    """The lists of names that common_arg() begins with: {"-m", "--model"}."""
    found = set()
    for names in re.findall(r'\{\s*((?:"-[^"\s]+"\s*,?\s*)+)\}', source):
        found.update(re.findall(r'"(-[^"\s]+)"', names))
    return found


def ollama(source):
    """Flags().StringP("file", "f", …), and what a modelfile's PARAMETER takes as a word."""
    found = set()
    for kind, name, letter in re.findall(r'Flags\(\)\.(\w+)\("([a-z-]+)"(?:, "(\w)")?', source):
        if not kind.startswith(("Get", "Lookup", "Changed", "Mark")):
            found.add("--" + name)
            if kind.endswith("P") and letter:
                found.add("-" + letter)
    return found


def collect(folder):
    servers = {}
    for path in sorted(pathlib.Path(folder).iterdir()):
        name = path.name.split("-")[0]
        version = re.search(r"-(\d+(?:\.\d+)+)", path.name)
        if not version:
            continue
        if path.suffix == ".whl" and name in ("vllm", "sglang", "xinference"):
            with zipfile.ZipFile(path) as wheel:
                flags = {"vllm": vllm, "sglang": sglang, "xinference": xinference}[name](wheel)
            servers[{"vllm": "vLLM", "sglang": "SGLang", "xinference": "Xinference"}[name]] = (version[1], flags)
        elif name == "llama_cpp_python":
            with tarfile.open(path) as archive:
                (member,) = [m for m in archive.getmembers() if m.name.endswith("vendor/llama.cpp/common/arg.cpp")]
                flags = llama_cpp(archive.extractfile(member).read().decode())
            servers["llama.cpp"] = (f"of llama-cpp-python {version[1]}", flags)
        elif name == "ollama":
            servers["Ollama"] = (version[1], ollama(path.read_text()))
    return {n: {"version": v, "flags": sorted(f)} for n, (v, f) in sorted(servers.items())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--check", metavar="FILE", help="compare with this file; 1 if a flag we know is gone")
    options = parser.parse_args()
    found = collect(options.folder)
    if not options.check:
        json.dump(found, sys.stdout, indent=0)
        print()
        return 0
    known = json.loads(pathlib.Path(options.check).read_text())
    for name, server in known.items():
        now = set(found.get(name, {"flags": []})["flags"])
        new, gone = now - set(server["flags"]), set(server["flags"]) - now
        print(f"{name} {server['version']} -> {found.get(name, {}).get('version')}: {len(new)} new, {len(gone)} gone")
    return 0 if set(known) <= set(found) else 1


if __name__ == "__main__":
    sys.exit(main())
