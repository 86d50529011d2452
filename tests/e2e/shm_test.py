#!/usr/bin/env python3
"""Ranks need no /dev/shm: shm_test.py PROGRAM.

They start and answer where it has 64 MB, as in a container that nobody gave more, and where there is none. Each run has a mount
namespace of its own (unshare); where the system allows none, the tests skip.
"""

import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
SMALL = "mount -t tmpfs -o size=64m tmpfs /dev/shm && [ $(df --output=size -k /dev/shm | tail -1) = 65536 ]"
# Another /dev, with the few files that programs open.
NONE = ("cd $FOLDER && mkdir dev && for f in null zero random urandom; do touch dev/$f && mount --bind /dev/$f dev/$f || exit 99; done; "
        "mount --rbind dev /dev && [ ! -e /dev/shm ]")


class WithoutSharedMemory(unittest.TestCase):
    def ask(self, prepare, ranks):
        with tempfile.TemporaryDirectory(prefix="tutti_shm_") as folder:
            script = f"{{ {prepare}; }} || exit 99; exec \"$0\" \"$@\""
            done = subprocess.run(
                ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, PROGRAM, "run", "--device", "cpu", "--tp", str(ranks),
                 "--temperature", "0", "-q", "tiny-r1", "What is 3+4?"],
                capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "FOLDER": folder, "HOME": folder})
        self.assertNotEqual(done.returncode, 99, done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("7", done.stdout)

    def setUp(self):
        tried = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                               capture_output=True, check=False)
        if tried.returncode != 0:
            self.skipTest("this system allows no mount namespaces")

    def test_64_megabytes(self):
        for ranks in (1, 4):
            with self.subTest(ranks=ranks):
                self.ask(SMALL, ranks)

    def test_none(self):
        self.ask(NONE, 4)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
