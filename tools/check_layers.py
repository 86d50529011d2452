#!/usr/bin/env python3
"""Checks the layer rules of ARCHITECTURE.md: who may include whom, and which words may not appear where.

Usage: tools/check_layers.py [ROOT]. Prints one line per violation and exits 1 if there is any.
"""
import pathlib
import re
import sys

# A folder may include folders of its own or a lower level.
LEVELS = {
    "base": 0,
    "tensor": 1, "device": 1, "jinja": 1, "text": 1, "http": 1, "loadgen": 1, "inventory": 1,
    "comm": 2, "ops": 2, "loader": 2, "kv": 2, "watch": 2,
    "backend": 3, "nn": 3,
    "architectures": 4, "sched": 4,
    "grammar": 5,
    "engine": 6,
    "plan": 7, "serve": 7, "doctor": 7,
    "supervise": 8,
    "apps": 9,
}

# Host-only folders: they build and test without any device.
HOST_ONLY = {"sched": {"base", "sched"}, "grammar": {"base", "text", "jinja", "sched", "grammar"}}

# Sharding belongs to nn and loader; device kinds belong to device and backend.
BANNED_WORDS = {
    "architectures": ["rank", "world", "world_size", "tp", "comm", "DeviceKind", "is_cuda"],
    "nn": ["DeviceKind", "is_cuda"],
    "sched": ["DeviceKind", "is_cuda"],
    "engine": ["DeviceKind", "is_cuda"],
    "serve": ["DeviceKind", "is_cuda"],
    "supervise": ["DeviceKind", "is_cuda"],
}
GPU_HEADERS = re.compile(r'#include\s*[<"](cuda|nccl|cublas|nvml|cudnn)')
# Who set an option knows how it is spelled (base/option_names.h).
FLAG = re.compile(r'"(?:\\.|[^"\\\n])*(?<![-\w])--[a-z]')
FLAGS_OF_OTHERS = re.compile(r"docker run --gpus|tutti doctor --dump|\{\"--pairs\"")
# What they print names commands of other programs (docker, nvidia-smi): what to do about a machine.
REMEDIES = ("src/doctor/", "src/base/known_failures.cc")
ENVIRONMENT = re.compile(r"\bgetenv\s*\(")
MAX_LINES = 600


def strip_comments(text):
    """Source text without comments and string literals, line numbers kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: "\n" * m.group(0).count("\n"), text)


def check_file(path, folder, root):
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(root)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include "([a-z0-9_]+)/[^"]+"', line)
        if match:
            target = match[1]
            if target not in LEVELS:
                yield f'{name}:{number}: includes "{target}/…", which is no source folder'
            elif LEVELS[target] > LEVELS[folder]:
                yield (f"{name}:{number}: {folder} (level {LEVELS[folder]}) includes {target} "
                       f"(level {LEVELS[target]}); include only the same or a lower level")
            elif folder in HOST_ONLY and target not in HOST_ONLY[folder]:
                yield f"{name}:{number}: {folder} is host-only and may not include {target}"
        if GPU_HEADERS.match(line):
            yield f"{name}:{number}: GPU headers belong to cuda/"
        remedies = str(name).startswith(REMEDIES)
        if LEVELS[folder] < LEVELS["apps"] and not remedies and FLAG.search(re.sub(r"//.*", "", FLAGS_OF_OTHERS.sub("", line))):
            yield f"{name}:{number}: a flag in a message; name the option as in \"‹kv_memory›\" and let apps spell it"
    code = strip_comments(text)
    for word in BANNED_WORDS.get(folder, []):
        for match in re.finditer(rf"\b{word}\b", code):
            line = code.count("\n", 0, match.start()) + 1
            yield f'{name}:{line}: the word "{word}" may not appear in src/{folder}'
    if LEVELS[folder] < LEVELS["apps"] and ENVIRONMENT.search(code):
        yield f"{name}: the environment is read in src/apps only"
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{name}: {lines} lines, wanted at most {MAX_LINES}; one idea per file"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    problems = []
    files = 0
    for path in sorted((root / "src").rglob("*")):
        if path.suffix in (".h", ".cc"):
            folder = path.relative_to(root / "src").parts[0]
            if folder not in LEVELS:
                problems.append(f"{path.relative_to(root)}: folder {folder} has no level in tools/check_layers.py")
                continue
            files += 1
            problems += check_file(path, folder, root)
    if files == 0:
        problems.append(f"{root}/src: no source files found")
    print("\n".join(problems) if problems else f"layers: {files} files, no violation")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
