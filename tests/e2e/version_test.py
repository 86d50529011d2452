#!/usr/bin/env python3
"""The version that a build gets: version_test.py CMAKE SOURCE_DIRECTORY. In repositories made here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

CMAKE = ""
SOURCE = ""


@unittest.skipUnless(shutil.which("git"), "git is not installed")
class Version(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tutti_version_")
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.source = os.path.join(self.top, "source")
        os.mkdir(self.source)

    def git(self, *args, folder=None):
        settings = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": self.top}
        for who in ("AUTHOR", "COMMITTER"):
            settings |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org"}
        subprocess.run(["git", "-C", folder or self.source, *args], check=True, env={**os.environ, **settings},
                       stdout=subprocess.DEVNULL)

    def commit(self):
        self.git("commit", "-q", "--allow-empty", "-m", "x")

    def version(self):
        output = os.path.join(self.top, "version.cc")
        subprocess.run([CMAKE, f"-DSOURCE={self.source}", "-DBASE=0.1.0", f"-DOUTPUT={output}", "-P",
                        os.path.join(SOURCE, "cmake", "WriteVersion.cmake")], check=True)
        with open(output, encoding="utf-8") as f:
            return re.search(r'return "(.*)";', f.read()).group(1)

    def test_of_tags_and_commits(self):
        self.git("init", "-q")
        self.commit()
        self.assertRegex(self.version(), r"^0\.1\.0\+g[0-9a-f]{7}$")
        self.git("tag", "v0.2.0-rc1")
        self.assertEqual(self.version(), "0.2.0-rc1")
        self.git("tag", "other")
        self.commit()
        self.commit()
        self.assertRegex(self.version(), r"^0\.2\.0-rc1\+2\.g[0-9a-f]{7}$")
        with open(os.path.join(self.source, "a"), "w", encoding="utf-8") as f:
            f.write("a")
        self.git("add", "a")
        self.assertRegex(self.version(), r"^0\.2\.0-rc1\+2\.g[0-9a-f]{7}\.dirty$")

    def test_outside_git(self):
        self.assertEqual(self.version(), "0.1.0")

    def test_unpacked_inside_another_repository(self):
        self.git("init", "-q", folder=self.top)
        self.git("commit", "-q", "--allow-empty", "-m", "x", folder=self.top)
        self.git("tag", "v9.9.9", folder=self.top)
        self.assertEqual(self.version(), "0.1.0")

    def test_the_file_is_left_alone_if_nothing_changed(self):
        self.version()
        output = os.path.join(self.top, "version.cc")
        os.utime(output, ns=(1, 1))
        self.version()
        self.assertEqual(os.stat(output).st_mtime_ns, 1)


if __name__ == "__main__":
    CMAKE, SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
