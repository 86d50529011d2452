#!/usr/bin/env python3
"""tutti top in terminals of 80 and 160 columns, and without one: top_test.py PROGRAM SOURCE_DIRECTORY."""

import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, environment
from terminal import Terminal

RECORDED = "tests/watch/eight_gpus.json"


def screen(data, columns):
    """Lines that a terminal shows after `data`: what the program uses of escapes, and no more."""
    rows = [[" "] * columns for _ in range(60)]
    row = column = 0
    for part in re.findall(r"\x1b\[[?]?[0-9;]*[A-Za-z]|[^\x1b]", data):
        if part == "\x1b[H":
            row = column = 0
        elif part == "\x1b[K":
            rows[row][column:] = [" "] * (columns - column)
        elif part == "\x1b[J":
            rows[row][column:] = [" "] * (columns - column)
            for later in range(row + 1, len(rows)):
                rows[later] = [" "] * columns
        elif part.startswith("\x1b"):
            assert re.fullmatch(r"\x1b\[([?](1049|25)[hl]|[0-9]*m)", part), part
        elif part == "\r":
            column = 0
        elif part == "\n":
            row += 1
        else:
            assert column < columns, (row, "".join(rows[row]))
            rows[row][column] = part
            column += 1
    return ["".join(line).rstrip() for line in rows]


class Top(Case):
    def top(self, *arguments):
        done = subprocess.run([cli_test.PROGRAM, "top", *arguments], capture_output=True, text=True, timeout=60,
                              env=environment(self.folder.name))
        return done

    def recorded(self):
        return os.path.join(cli_test.SOURCE, RECORDED)

    def test_a_terminal_of_each_width(self):
        for columns in (80, 160):
            with self.subTest(columns):
                env = {**environment(self.folder.name), "TERM": "xterm"}
                terminal = Terminal(self, [cli_test.PROGRAM, "top", "--file", self.recorded(), "--interval", "0.1"], env,
                                    size=(24, columns))
                first = terminal.until("\x1b[J")
                self.assertIn("\x1b[?1049h", first)
                shown = [line for line in screen(first, columns) if line]
                plain = self.top("--file", self.recorded(), "--columns", str(columns)).stdout.splitlines()
                self.assertEqual(shown, [line.rstrip() for line in plain])
                self.assertEqual(len([line for line in shown if re.match(r"[ *] [0-7] ", line)]), 8, shown)
                self.assertEqual("programs" in shown[2], columns == 160)
                terminal.until("\x1b[J")  # it is drawn again
                terminal.type("q")
                self.assertIn("\x1b[?1049l", terminal.ends())

    def test_the_terminal_grows(self):
        env = {**environment(self.folder.name), "TERM": "xterm"}
        terminal = Terminal(self, [cli_test.PROGRAM, "top", "--file", self.recorded(), "--interval", "0.1"], env)
        self.assertNotIn("programs", terminal.until("\x1b[J"))
        terminal.resize(24, 160)
        terminal.until("programs")
        self.assertEqual(terminal.modes(), (False, False))
        terminal.type("\x03")
        terminal.ends()

    def test_one_look(self):
        with open(self.recorded()) as f:
            recorded = json.load(f)
        done = self.top("--once", "--json", "--file", self.recorded())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout), recorded)
        self.assertEqual(self.top("--json", "--file", self.recorded()).returncode, 64)

    def test_a_server(self):
        server = cli_test.Server(self)
        done = self.top("--once", "--json", "--url", f"http://127.0.0.1:{server.port}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["gpus"], [])
        shown = self.top("--once", "--url", f"http://127.0.0.1:{server.port}/v1")
        self.assertIn("no GPU is shown", shown.stdout)

    def test_what_is_not_there(self):
        for arguments, code, text in [
            (["--once", "--url", "http://127.0.0.1:1"], 75, "no server answers"),
            (["--once", "--file", "/nowhere.json"], 66, "/nowhere.json"),
            (["--once", "--url", "http://x", "--file", "y"], 64, "--file"),
        ]:
            done = self.top(*arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
