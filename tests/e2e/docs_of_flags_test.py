#!/usr/bin/env python3
"""Completion and man pages, as shells and man take them: docs_of_flags_test.py PROGRAM SOURCE_DIRECTORY.

Held against --help, which the parser prints. Shells and formatters that are not installed are left out, and said so.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, environment
from terminal import Terminal


def commands_in(help_text):
    part = help_text.split("Subcommands:")
    return re.findall(r"^  ([a-z-]+) ", part[1], re.M) if len(part) > 1 else []


def flags_in(help_text):
    """Every spelling of every flag."""
    return [name for names in re.findall(r"^  (-\S+)", help_text, re.M) for name in names.split(",")]


class FlagsCase(Case):
    def all_commands(self, words=()):
        """[(words, what --help prints)] of every command."""
        text, _ = self.run_tutti(*words, "--help")
        out = [(list(words), text)]
        for word in commands_in(text):
            out += self.all_commands((*words, word))
        return out

    def script(self, shell, name):
        out, _ = self.run_tutti("completion", shell)
        return self.write(name, out)


class Bash(FlagsCase):
    def setUp(self):
        super().setUp()
        self.file = self.script("bash", "completion.bash")
        self.write("file with spaces.json", "")
        os.mkdir(self.path("a-model"))

    def complete(self, *words):
        """What bash offers behind these words, of which the last is being typed."""
        asks = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tutti; for one in "${COMPREPLY[@]}"; do printf "%s\\n" "$one"; done'
        done = subprocess.run(["bash", "-u", "-c", asks, "bash", self.file, "tutti", *words], cwd=self.folder.name,
                              capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split("\n")[:-1]

    def test_every_command_and_flag_of_help(self):
        commands = self.all_commands()
        self.assertGreater(len(commands), 15)
        for words, text in commands:
            self.assertEqual(sorted(self.complete(*words, "-")), sorted(flags_in(text)), words)
            if commands_in(text):
                self.assertEqual(sorted(self.complete(*words, "")), sorted(commands_in(text)), words)

    def test_beginnings(self):
        self.assertEqual(self.complete("ser"), ["serve"])
        self.assertEqual(self.complete("bench", "th"), ["throughput"])
        self.assertEqual(self.complete("serve", "--serv"), ["--served-model-name"])
        self.assertEqual(self.complete("serve", "--port", "1", "--ho"), ["--host"])
        self.assertEqual(self.complete("unheard-of", "--po"), [])

    def test_values(self):
        self.assertEqual(self.complete("serve", "--p2p", ""), ["auto", "off"])
        self.assertEqual(self.complete("serve", "--p2p", "=", "o"), ["off"])
        self.assertEqual(self.complete("serve", "--p2p", "="), ["auto", "off"])
        self.assertEqual(self.complete("run", "--device", "c"), ["cpu", "cuda"])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete("serve", "--port", ""), [])
        self.assertIn("file with spaces.json", self.complete("template", "tiny-r1", "--messages", ""))

    def test_models(self):
        self.assertEqual(self.complete("serve", "a-m"), ["a-model"])
        self.assertIn("deepseek-r1", self.complete("plan", "deepseek"))

    def test_by_hand(self):
        bash = Terminal(self, [shutil.which("bash"), "--norc", "--noprofile", "-i"],
                        {**environment(self.folder.name), "TERM": "xterm", "PS1": "ready$ "})
        bash.until("ready$ ")
        bash.type(f". {self.file}\r")
        bash.until("ready$ ")
        bash.type("tutti bench thr\t")
        bash.until("throughput ")


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
class Zsh(FlagsCase):
    def test_by_hand(self):
        self.script("zsh", "_tutti")
        zsh = Terminal(self, [shutil.which("zsh"), "-f", "-i"],
                       {**environment(self.folder.name), "TERM": "xterm", "PS1": "ready$ "})
        zsh.until("ready$ ")
        zsh.type(f"fpath=({self.folder.name} $fpath); autoload -U compinit; compinit -u -D; echo loaded\\!\r")
        zsh.until("loaded!\r\n")
        for typed, shown in (("tutti bench thr\t", "throughput"), ("\x15tutti serve --p2p of\t", "off"),
                             ("\x15tutti serve --served\t", "--served-model-name"),
                             ("\x15tutti completion f\t", "fish"), ("\x15tutti plan got\t", "got-ocr2")):
            zsh.type(typed)
            zsh.until(shown)


@unittest.skipUnless(shutil.which("fish"), "fish is not installed")
class Fish(FlagsCase):
    def test_every_command_and_flag_of_help(self):
        file = self.script("fish", "tutti.fish")

        def complete(*words):
            done = subprocess.run(["fish", "--no-config", "-c", f"source {file}; complete -C 'tutti {' '.join(words)}'"],
                                  capture_output=True, text=True, timeout=60, check=True, cwd=self.folder.name,
                                  env=environment(self.folder.name))
            self.assertEqual(done.stderr, "")
            return [line.split("\t")[0] for line in done.stdout.splitlines()]

        for words, text in self.all_commands():
            flags = complete(*words, "-")
            for flag in flags_in(text):
                # fish offers a flag's other spelling only where the long one is not
                self.assertIn(flag, flags) if flag.startswith("--") else None
            if commands_in(text):
                self.assertEqual(sorted(complete(*words, "")), sorted(commands_in(text)), words)
        self.assertEqual(complete("serve", "--p2p", ""), ["auto", "off"])
        self.assertEqual(sorted(complete("completion", "")), ["bash", "fish", "zsh"])
        self.assertIn("deepseek-r1", complete("plan", "deep"))


class ManPages(FlagsCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("man1"))
        self.run_tutti("man", "--all", self.path("man1"))

    def test_one_page_for_each_command_with_all_its_flags(self):
        commands = self.all_commands()
        pages = {"-".join(["tutti", *words]) + ".1": (words, text) for words, text in commands}
        self.assertEqual(sorted(os.listdir(self.path("man1"))), sorted(pages))
        for name, (words, text) in pages.items():
            with open(self.path(f"man1/{name}"), encoding="ascii") as f:
                page = f.read()
            self.assertEqual(self.run_tutti("man", *words)[0], page)
            plain = page.replace("\\-", "-")
            for word in flags_in(text):
                self.assertRegex(plain, rf"\\fB{word}\\fR", name)
            for word in commands_in(text):
                self.assertIn(f"\\fB{word}\\fR", plain)
        self.run_tutti("man", "bench", "nothing", code=64)
        self.run_tutti("man", "--all", self.path("no such folder"), code=None)

    def check(self, *command, ignore=None):
        for name in os.listdir(self.path("man1")):
            done = subprocess.run([*command, self.path(f"man1/{name}")], capture_output=True, text=True, timeout=60)
            said = [line for line in (done.stderr + done.stdout).splitlines()
                    if ignore is None or ignore not in line]
            self.assertEqual(said, [], name)

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_groff_warns_of_nothing(self):
        self.check("groff", "-man", "-ww", "-Tutf8", "-z")

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_mandoc_warns_of_nothing(self):
        # A date would be that of the build, which then would not be the same twice.
        self.check("mandoc", "-T", "lint", "-W", "warning", ignore="missing date")

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "man is not installed")
    def test_man_finds_and_shows_it(self):
        done = subprocess.run(["man", "-M", self.folder.name, "--warnings", "tutti-bench-serve"], capture_output=True,
                              text=True, timeout=60, env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for text in ("TUTTI-BENCH-SERVE(1)", "--concurrency INT", "completions|chat", "Default: completions."):
            self.assertIn(text, done.stdout)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
