#!/usr/bin/env python3
"""What cmake --install makes, used as people use it: install_test.py BUILD SOURCE CMAKE.

From another directory, through a link, moved, copied without the rest, and as a user who may write nothing there.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, Server, environment

BUILD = ""
CMAKE = ""
NOBODY = 65534
ASK = ["run", "What is 3+4?", "--device", "cpu", "--temperature", "0", "-q"]


class Installed(Case):
    @classmethod
    def setUpClass(cls):
        cls.all = tempfile.TemporaryDirectory(prefix="tutti_install_")
        cls.addClassCleanup(cls.all.cleanup)
        os.chmod(cls.all.name, 0o755)
        cls.prefix = os.path.join(cls.all.name, "a prefix")
        # As root with a strict umask: the tree must be for everybody anyway.
        subprocess.run([CMAKE, "--install", BUILD, "--prefix", cls.prefix], check=True, stdout=subprocess.DEVNULL,
                       preexec_fn=lambda: os.umask(0o077))
        cls.program = os.path.join(cls.prefix, "bin", "tutti")

    def answers(self, program, before=(), cwd="/", home=None):
        done = subprocess.run([*before, program, *ASK], cwd=cwd, capture_output=True, timeout=60,
                              env=environment(home or self.folder.name))
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn("7", done.stdout.decode().split("</think>")[1])

    def test_everybody_may_read_it(self):
        for folder, _, files in os.walk(self.prefix):
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o755, folder)
            for name in files:
                path = os.path.join(folder, name)
                mode = stat.S_IMODE(os.stat(path).st_mode)
                self.assertIn(mode, (0o644, 0o755), path)

    def test_the_documentation_has_what_it_links_to(self):
        top = os.path.join(self.prefix, "share", "doc", "tutti")
        seen = 0
        for folder, _, files in os.walk(top):
            for name in files:
                if not name.endswith(".md"):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", f.read())
                for link in links:
                    self.assertTrue(os.path.exists(os.path.join(folder, link)), f"{folder}/{name}: {link}")
                    seen += 1
        self.assertGreater(seen, 30)

    def test_the_program_s_own_texts(self):
        share = os.path.join(self.prefix, "share")
        for name in ("man/man1/tutti.1", "man/man1/tutti-bench-serve.1", "bash-completion/completions/tutti",
                     "zsh/site-functions/_tutti", "fish/vendor_completions.d/tutti.fish"):
            with open(os.path.join(share, name), encoding="utf-8") as f:
                self.assertIn("serve", f.read(), name)

    def test_from_another_directory(self):
        self.answers(self.program, cwd=self.folder.name)

    def test_through_a_link(self):
        link = self.path("tutti")
        os.symlink(self.program, link)
        self.answers(link)

    def test_moved_and_copied_trees(self):
        copy = self.path("copy")
        shutil.copytree(self.prefix, copy)
        os.rename(copy, self.path("moved"))
        self.answers(self.path("moved/bin/tutti"))

    def test_a_server(self):
        cli_test.PROGRAM = self.program
        process = self.start("serve", "--device", "cpu", "--port", "0", cwd="/")
        server = Server(self, process=process)
        server.wait_for(r"ready: ")
        self.assertEqual(server.request("GET", "/health")[0], 200)

    def test_the_program_alone(self):
        """It says what is missing and where it would be found; the model beside it is enough."""
        alone = self.path("alone")
        os.mkdir(alone)
        program = shutil.copy(self.program, alone)
        done = subprocess.run([program, *ASK], capture_output=True, timeout=60, env=environment(self.folder.name))
        self.assertEqual(done.returncode, 66)
        place = os.path.join(os.path.realpath(alone), "tiny-r1")
        self.assertIn(f"that model to {place};", done.stderr.decode())
        shutil.copytree(os.path.join(self.prefix, "share", "tutti", "models", "tiny-r1"), place)
        self.answers(program)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become another user")
    def test_another_user_who_may_write_nothing(self):
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        self.answers(self.program, before=user, home="/nonexistent")

    @unittest.skipUnless(os.geteuid() != 0, "root may write everywhere")
    def test_a_tree_that_nobody_may_write(self):
        for folder, _, files in os.walk(self.prefix):
            os.chmod(folder, 0o555)
            self.addCleanup(os.chmod, folder, 0o755)
        self.answers(self.program)

    def test_the_plugin_is_found(self):
        if not os.path.exists(os.path.join(BUILD, "bin", "libtutti_cuda.so")):
            self.assertFalse(os.path.exists(os.path.join(self.prefix, "lib/tutti/libtutti_cuda.so")))
            return
        done = subprocess.run([self.program, "doctor", "--ask", "cuda"], capture_output=True, timeout=60, cwd="/",
                              env=environment(self.folder.name))
        said = (done.stdout + done.stderr).decode()
        self.assertNotIn("was not found", said)
        self.assertNotIn("does not load", said)


if __name__ == "__main__":
    BUILD, cli_test.SOURCE, CMAKE = sys.argv[1:4]
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
