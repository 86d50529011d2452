"""Random requests by /openapi.json, made by Schemathesis: schema_fuzz.py PROGRAM [EXAMPLES of each route].

No answer may be a server's error (5xx) or a status that the description has not; the server must live on. The field
`timeout` is left out: what it brings, 504, is what it asks for. Exit 77: the package could not be installed."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request
import venv

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "clients"))
from recite import KEY, Server  # noqa: E402

HOOKS = '''
import schemathesis

@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        body.pop("timeout", None)
        if isinstance(body.get("model"), str):
            body["model"] = "recite"
        if isinstance(body.get("options"), dict):
            body["options"].pop("timeout", None)
    return body
'''


def main():
    program, examples = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "100"
    with tempfile.TemporaryDirectory() as work:
        python = os.path.join(work, "venv", "bin", "python")
        try:
            venv.create(os.path.join(work, "venv"), with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "schemathesis==4.32.5"], check=True)
        except subprocess.CalledProcessError as error:
            print(f"schema fuzz: SKIPPED, the package could not be installed: {error}")
            return 77
        pathlib.Path(work, "hooks.py").write_text(HOOKS, encoding="utf-8")
        with Server(program, "--context", "384", "--max-body", "65536") as server:
            done = subprocess.run(
                [os.path.join(work, "venv", "bin", "schemathesis"), "run", f"{server.url}/openapi.json", "--url", server.url,
                 "--header", f"Authorization: Bearer {KEY}", "--max-examples", examples, "--continue-on-failure",
                 "--checks", "not_a_server_error,status_code_conformance,content_type_conformance", "--workers", "2",
                 "--request-timeout", "60", "--no-color"],
                env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks"}, cwd=work, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT)
            print(done.stdout[-6000:])
            request = urllib.request.Request(server.url + "/metrics", headers={"Authorization": f"Bearer {KEY}"})
            with urllib.request.urlopen(request, timeout=10) as reply:
                metrics = reply.read().decode()
            counts = re.findall(r'^tutti:http_requests_total\{.*code="(\d+)"\} (\d+)', metrics, re.M)
            requests = sum(int(n) for _, n in counts)
            bad = sum(int(n) for code, n in counts if code.startswith("5"))
    print(f"schema fuzz: {requests} requests, {bad} server errors, exit code {done.returncode} of Schemathesis")
    return 1 if bad or done.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
