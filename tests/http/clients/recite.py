"""The model that the clients' tests ask, and the server in front of it. Only the standard library."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))
import script_model  # noqa: E402

MODEL = "recite"
KEY = "clients-key"
SUM = "What is 3+4?"
SUM_THOUGHT = "Adding up numbers"
SUM_ANSWER = "The answer is seven indeed."
WEATHER = "What is the weather in Oslo?"
WEATHER_RESULT = "4 degrees, rain"
WEATHER_ANSWER = "It is four degrees in Oslo and rains"
COUNT = "Count."
COUNT_WORDS = [f"w{i:03}, " for i in range(400)]
BOTH = "Compare Oslo and Rome."

SCRIPTS = {
    SUM: ["<think>", "Adding", " up numbers", "</think>", "The", " answer", " is seven", " indeed."],
    WEATHER: ["<think>Look", " it up", "</think>\n", "<tool_call>\n{\"name\": \"weather\", ", "\"arguments\": {\"city\": ",
              "\"Oslo\"}}", "\n</tool_call>"],
    WEATHER_RESULT: ["It is", " four degrees", " in Oslo", " and rains"],
    COUNT: COUNT_WORDS,
    BOTH: ["<tool_call>\n{\"name\": \"weather\"", ", \"arguments\": {\"city\": \"Oslo\"} }", "\n</tool_call>\n",
           "<tool_call>\n{ \"name\": \"weather\"", ", \"arguments\": { \"city\": \"Rome\"} }", "\n </tool_call>"],
}


def make(folder):
    return script_model.make(folder, SCRIPTS, context=8192)


class Server:
    """`tutti serve` over that model."""

    def __init__(self, program, *flags):
        self.folder = tempfile.TemporaryDirectory()
        model = make(os.path.join(self.folder.name, "model"))
        environment = {**os.environ, "TUTTI_HOME": self.folder.name, "TUTTI_API_KEY": KEY}
        self.log = pathlib.Path(self.folder.name, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", model, "--device", "cpu", "--port", "0", "--served-model-name", MODEL, *flags],
                stdout=subprocess.DEVNULL, stderr=log, env=environment)
        self.url = self._wait()

    def _wait(self):
        for _ in range(600):
            found = re.search(r"ready: (http://[^ ]*)/v1 ", self.log.read_text(encoding="utf-8"))
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError("the server did not get ready:\n" + self.log.read_text(encoding="utf-8"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()
