#!/usr/bin/env python3
"""Every command in the documentation is run: docs_test.py PROGRAM SOURCE_DIRECTORY [--python PYTHON].

Blocks ```sh of README.md, docs/*.md and others are given to bash page by page, in order, in an empty folder where `tutti`
is the program under test. `tutti serve` goes to the background there and the next command comes when it is ready; port
9997 is a free one. Blocks ```python are run by PYTHON, which has the package openai; without one they are left out, and
counted. What cannot be run here says so behind its language:

    sh fails      is refused, as the text around it says
    sh build      builds or installs: tools/nightly --only chroot
    sh gpu        wants a GPU: tools/gpu/run does the like
    sh root       changes the machine
    sh network    downloads
"""

import argparse
import glob
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import script_model

PROGRAM = SOURCE = PYTHON = ""
LANGUAGES = {"sh", "python", "ini", "nginx", "json", "text", "cpp", "yaml", "dockerfile"}
NOT_HERE = ("build", "gpu", "root", "network")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)

# Plays a model that calls tools, where a page serves one that would have to be downloaded.
CALLS = {
    "What is the weather in Oslo?": ["<tool_call>{\"na", "me\": \"weather\", \"arguments\": ", "{\"city\": \"Oslo\"}}</tool", "_call>"],
    "4 degrees, rain": ["It is 4 deg", "rees and it ", "rains."],
}

TUTTI = """#!/bin/bash
# tutti serve: in the background, and back when it is ready. Anything else: as it is; a plan may say that nothing fits, and
# the doctor what he thinks of this machine.
[[ "$1 $2" == "bench serve" && " $* " != *" --url "* ]] && set -- "$@" --url "http://127.0.0.1:$DOCS_PORT"
if [[ $1 != serve ]]; then
  "$DOCS_PROGRAM" "$@"
  code=$?
  [[ $1 == plan && $code == 69 ]] && exit 0
  [[ $1 == doctor && $code -le 2 ]] && exit 0
  exit $code
fi
[[ -e server.pid ]] && { kill "$(cat server.pid)"; while kill -0 "$(cat server.pid)" 2> /dev/null; do sleep 0.05; done; }
[[ " $* " == *" --port "* ]] || set -- "$@" --port "$DOCS_PORT"
: > server.log  # or an earlier server's would say that this one is ready
"$DOCS_PROGRAM" "$@" --device cpu 2>> server.log > /dev/null < /dev/null &
echo $! > server.pid
for _ in $(seq 600); do
  grep -q 'ready: ' server.log && exit 0
  kill -0 "$(cat server.pid)" 2> /dev/null || break
  sleep 0.1
done
cat server.log >&2
wait "$(cat server.pid)"
exit $?
"""
# Of what is refused: curl's for an error of HTTP, those of tutti for mistakes. Not those of what is merely not there.
REFUSALS = (22, 64, 66, 77)
CURL = """#!/bin/bash
exec "$DOCS_CURL" --fail-with-body --silent --show-error --max-time 60 "$@"
"""


def pages():
    names = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/tiny-r1/README.md"]
    return names + sorted(os.path.relpath(p, SOURCE) for p in glob.glob(os.path.join(SOURCE, "docs", "*.md")))


def text_of(page):
    with open(os.path.join(SOURCE, page), encoding="utf-8") as f:
        return f.read()


def blocks(page):
    """[(language, marks, text)]"""
    out = []
    for info, text in FENCE.findall(text_of(page)):
        language, *marks = info.split() or [""]
        out.append((language, marks, text))
    return out


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Page:
    """Where the blocks of one page are run."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tutti_docs_")
        self.port = free_port()
        os.mkdir(self.path("bin"))
        os.mkdir(self.path("home"))
        for name, text in (("tutti", TUTTI), ("curl", CURL)):
            with open(self.path(f"bin/{name}"), "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(self.path(f"bin/{name}"), 0o755)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TUTTI_", "HF_", "HUGGINGFACE_", "XDG_"))}
        self.env = {**env, "HOME": self.path("home"), "DOCS_PROGRAM": PROGRAM, "DOCS_PORT": str(self.port),
                    "TUTTI_ENDPOINT": f"http://127.0.0.1:{self.port}",
                    "DOCS_CURL": shutil.which("curl") or "curl",
                    "PATH": self.path("bin") + os.pathsep + env["PATH"]}
        # What the pages name: models as people have them, a machine's inventory, tools.
        os.symlink(os.path.join(SOURCE, "tests/golden/fixtures/dsv3_base_f32"), self.path("DeepSeek-R1"))
        for name in ("Qwen3-8B", "MODEL"):
            script_model.make(self.path(name), CALLS, "{# as Qwen3: #}{% if enable_thinking %}{% endif %}" + script_model.HEAD)
        subprocess.run([PROGRAM, "doctor", "--dump", self.path("box.json")], check=True, env=self.env,
                       capture_output=True)
        shutil.copy(os.path.join(SOURCE, "tests/watch/eight_gpus.json"), self.path("gpus.json"))
        with open(self.path("tools.json"), "w", encoding="utf-8") as f:
            f.write('[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]')

    def path(self, name):
        return os.path.join(self.folder, name)

    def here(self, text):
        for built in ("build/cpu/bin/tutti", "build/cuda/bin/tutti"):
            text = text.replace(built, "tutti")
        return text.replace("9997", str(self.port))

    def run(self, language, text, refused=False):
        if not refused:  # what would be open to other machines
            text = text.replace("0.0.0.0", "127.0.0.1")
        command = ["bash", "-eu", "-o", "pipefail", "-c", self.here(text)]
        if language == "python":
            command = [PYTHON, "-c", self.here(text)]
        return subprocess.run(command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=180)

    def close(self):
        if os.path.exists(self.path("server.pid")):
            with open(self.path("server.pid"), encoding="ascii") as f:
                pid = int(f.read())
            try:
                os.kill(pid, signal.SIGTERM)
                while True:  # not our child: bash's
                    os.kill(pid, 0)
                    time.sleep(0.05)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder)


class Docs(unittest.TestCase):
    def test_every_block_says_what_it_is(self):
        for page in pages():
            self.assertEqual(text_of(page).count("\n```") % 2, 0, f"{page}: a fence does not close")
            for language, marks, text in blocks(page):
                self.assertIn(language, LANGUAGES, f"{page}: {text}")
                self.assertLessEqual(set(marks), {"fails", *NOT_HERE}, f"{page}: {text}")

    def test_every_command(self):
        counts = dict.fromkeys(("run", "refused, as the text says", "python", "python left out", *NOT_HERE), 0)
        for page in pages():
            todo = [b for b in blocks(page) if b[0] in ("sh", "python")]
            place = Page() if todo else None
            try:
                for language, marks, text in todo:
                    where = next((m for m in marks if m in NOT_HERE), None)
                    if where:
                        counts[where] += 1
                        continue
                    if language == "python" and not PYTHON:
                        counts["python left out"] += 1
                        continue
                    with self.subTest(page=page, block=text):
                        done = place.run(language, text, refused="fails" in marks)
                        shown = f"{page}\n{text}\n-> {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
                        if "fails" in marks:
                            self.assertIn(done.returncode, REFUSALS, shown)
                            counts["refused, as the text says"] += 1
                        else:
                            self.assertEqual(done.returncode, 0, shown)
                            counts["python" if language == "python" else "run"] += 1
            finally:
                if place:
                    place.close()
        print("docs: blocks: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count))
        self.assertGreater(counts["run"], 15)

    def test_environment_variables(self):
        """The table is what the program reads."""
        read = set()
        for name in ("common.cc", "model_search.cc"):
            with open(os.path.join(SOURCE, "src", "apps", name), encoding="utf-8") as f:
                source = f.read()
            read |= set(re.findall(r'(?:env|env_if_set|get)\("([A-Z_]+)"\)', source))
            for names in re.findall(r"const char\* variable : \{([^}]*)\}", source):
                read |= set(re.findall(r'"([A-Z_]+)"', names))
        part = text_of("docs/environment.md").split("<!-- read by tutti -->")[1].split("<!-- end -->")[0]
        told = set(re.findall(r"`([A-Z][A-Z_]+)`", "\n".join(line.split("|")[1] for line in part.splitlines() if "|" in line)))
        self.assertEqual(told, read)

    def test_architectures(self):
        with open(os.path.join(SOURCE, "src", "architectures", "registry.cc"), encoding="utf-8") as f:
            known = set(re.findall(r'\{"(\w+)", &make_', f.read()))
        self.assertGreater(len(known), 4)
        self.assertEqual(set(re.findall(r"^\| `(\w+(?:ForCausalLM|Model))` ", text_of("docs/models.md"), re.M)), known)

    def test_messages_that_are_quoted_exist(self):
        """In the column of what is seen."""
        source = ""
        for pattern in ("src/**/*.cc", "cuda/**/*.cc", "cmake/*.cmake"):
            for path in glob.glob(os.path.join(SOURCE, pattern), recursive=True):
                with open(path, encoding="utf-8") as f:
                    source += f.read()
        source = re.sub(r'"\s*\n\s*"', "", source).replace('\\"', '"')
        quoted = re.findall(r"^\| `([^`]* [^`]*)`", text_of("docs/troubleshooting.md"), re.M)
        seen = 0
        for message in quoted:
            for part in re.split(r"…|[0-9.]+|tiny-r1|libtutti_cuda.so", message):
                if len(part.strip()) > 8 and "Could NOT" not in part:  # that one is CMake's
                    self.assertTrue(part.strip(' ";:,') in source, f"{message}: no program says this")
                    seen += 1
        self.assertGreater(seen, 8)

    def test_every_result_is_listed(self):
        text = text_of("docs/benchmarks.md")
        for path in glob.glob(os.path.join(SOURCE, "bench", "results", "*.md")):
            self.assertIn(f"(../bench/results/{os.path.basename(path)})", text)

    def test_every_page_is_linked_from_the_first(self):
        for page in pages()[1:]:
            self.assertIn(f"({page})", text_of("README.md"))


class Deploying(unittest.TestCase):
    """The files of docs/deploy.md, as the programs that read them see them."""

    def setUp(self):
        self.place = Page()
        self.addCleanup(self.place.close)

    def block(self, language):
        found = [text for kind, _, text in blocks("docs/deploy.md") if kind == language]
        self.assertEqual(len(found), 1)
        return found[0]

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_the_unit(self):
        unit = self.place.path("tutti.service")
        with open(unit, "w", encoding="utf-8") as f:
            f.write(self.block("ini").replace("/usr/local/bin/tutti", PROGRAM))
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "tutti" in line]
        self.assertEqual(said, [], done.stderr)

    @unittest.skipUnless(shutil.which("nginx") and shutil.which("openssl"), "nginx and openssl are not both installed")
    def test_the_proxy(self):
        folder, port = self.place.folder, free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=llm.example.org",
                        "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"], check=True, capture_output=True)
        site = self.place.here(self.block("nginx"))
        for there, here in (("listen 443", f"listen 127.0.0.1:{port}"), ("/etc/ssl/llm.pem", f"{folder}/cert.pem"),
                            ("/etc/ssl/private/llm.key", f"{folder}/key.pem")):
            self.assertIn(there, site)
            site = site.replace(there, here)
        temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{folder}/nginx.conf", "w", encoding="utf-8") as f:
            f.write(f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}} "
                    f"http {{ access_log off; {temporary}\n{site}\n}}")
        done = self.place.run("sh", "tutti serve")
        self.assertEqual(done.returncode, 0, done.stderr)
        proxy = subprocess.Popen([shutil.which("nginx"), "-c", f"{folder}/nginx.conf", "-p", folder],
                                 stderr=subprocess.PIPE)
        try:
            self.ask(f"https://127.0.0.1:{port}/v1/chat/completions", proxy)
        finally:
            proxy.terminate()
            proxy.communicate(timeout=30)

    def ask(self, url, proxy):
        """A stream through the proxy, under its own name."""
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        body = b'{"messages":[{"role":"user","content":"What is 3+4?"}],"stream":true,"temperature":0}'
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", "Host": "llm.example.org"})
        for attempt in range(100):
            try:
                with urllib.request.urlopen(request, context=trust, timeout=60) as reply:
                    text = reply.read().decode()
                break
            except ConnectionRefusedError:
                self.fail("nginx does not listen")
            except urllib.error.URLError as e:
                self.assertIsInstance(e.reason, ConnectionRefusedError, e)
                self.assertIsNone(proxy.poll(), "nginx ended")
                time.sleep(0.1)
        self.assertIn("data: [DONE]", text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("source")
    parser.add_argument("--python", default="")
    arguments, rest = parser.parse_known_args()
    PROGRAM, SOURCE, PYTHON = os.path.abspath(arguments.program), os.path.abspath(arguments.source), arguments.python
    unittest.main(argv=[sys.argv[0], *rest])
