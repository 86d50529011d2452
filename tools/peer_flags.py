#!/usr/bin/env python3
"""The flags of other servers, from their published packages: peer_flags.py [--keep FOLDER] > tests/e2e/peer_flags.json.

Downloads PACKAGES (560 MB, kept in FOLDER if one is named) with pip and go and reads their sources; nothing of them is
installed or run. tests/unit/apps/foreign_flags_test.cc and tests/e2e/mistakes_test.py hold our table against the list.
--check FILE: compares with FILE instead of printing, and fails if they differ (tools/nightly).
"""

import argparse
import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

PACKAGES = {
    "vLLM": "vllm==0.33.0",
    "SGLang": "sglang==0.5.23",
    "Xinference": "xinference==4.1.0",
    "llama.cpp": "llama-cpp-python==0.3.36",  # its archive holds llama.cpp's sources
    "Ollama": "github.com/ollama/ollama@v0.17.4",
}


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


def download(package, folder):
    """The one file of a package, in a folder of its own."""
    place = folder / re.sub(r"\W", "_", package)
    if not place.is_dir():
        place.mkdir(parents=True)
        form = "--no-binary" if package.startswith("llama") else "--only-binary"
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", form, ":all:", "-d", place, package],
                       check=True)
    (file,) = place.iterdir()
    return file


def download_module(module, folder):
    """The directory of a Go module's sources."""
    place = folder / "go"
    place.mkdir(parents=True, exist_ok=True)
    (place / "go.mod").write_text("module flags\n")
    env = {**os.environ, "GOPATH": str(place / "path"), "GOFLAGS": "-mod=mod -modcacherw"}
    out = subprocess.run(["go", "mod", "download", "-json", module], cwd=place, env=env, check=True, capture_output=True)
    return pathlib.Path(json.loads(out.stdout)["Dir"])


def collect(folder):
    servers = {}
    for server, read in (("vLLM", vllm), ("SGLang", sglang), ("Xinference", xinference)):
        with zipfile.ZipFile(download(PACKAGES[server], folder)) as wheel:
            servers[server] = read(wheel)
    with tarfile.open(download(PACKAGES["llama.cpp"], folder)) as archive:
        (member,) = [m for m in archive.getmembers() if m.name.endswith("vendor/llama.cpp/common/arg.cpp")]
        servers["llama.cpp"] = llama_cpp(archive.extractfile(member).read().decode())
    servers["Ollama"] = ollama((download_module(PACKAGES["Ollama"], folder) / "cmd" / "cmd.go").read_text())
    return {n: {"package": PACKAGES[n], "flags": sorted(servers[n])} for n in sorted(servers)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--check", metavar="FILE", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = collect(options.keep or pathlib.Path(temporary))
    if not options.check:
        json.dump(found, sys.stdout, indent=0)
        print()
        return 0
    print("flags:", ", ".join(f"{len(server['flags'])} of {name}" for name, server in found.items()))
    return 0 if found == json.loads(options.check.read_text()) else 1


if __name__ == "__main__":
    sys.exit(main())
