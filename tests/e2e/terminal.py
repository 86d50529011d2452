"""A program in a terminal of its own, as somebody who types sees it. Only the standard library."""

import fcntl
import os
import select
import signal
import struct
import termios
import time

TIMEOUT = 60


class Terminal:
    """Runs `args` in a pseudo-terminal of 80 columns and 24 rows; `case` is the unittest.TestCase."""

    def __init__(self, case, args, environment, size=(24, 80)):
        self.case = case
        self.process, self.file = os.forkpty()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            os.execve(args[0], args, environment)
        self.ended = False
        self.shown = b""  # and not yet waited for
        case.addCleanup(self.close)

    def close(self):
        if not self.ended:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self.file)

    def read(self):
        """More of what is shown; b"" once the program has closed the terminal."""
        try:
            return os.read(self.file, 65536)
        except OSError:  # the other side is closed
            return b""

    def until(self, text):
        """Everything shown up to `text`; "" stands for the end of the program."""
        deadline = time.monotonic() + TIMEOUT
        while not text or text.encode() not in self.shown:
            readable, _, _ = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            self.case.assertTrue(readable, f"no {text!r} in {self.shown[-3000:].decode(errors='replace')!r}")
            data = self.read()
            if not data:
                self.case.assertEqual(text, "", self.shown.decode(errors="replace"))
                break
            self.shown += data
        end = self.shown.find(text.encode()) + len(text.encode()) if text else len(self.shown)
        out, self.shown = self.shown[:end], self.shown[end:]
        return out.decode(errors="replace")

    def type(self, data):
        """Types all of it. What the program shows meanwhile is kept: neither side may wait for the other."""
        data = data.encode() if isinstance(data, str) else data
        deadline = time.monotonic() + TIMEOUT
        os.set_blocking(self.file, False)
        try:
            while data:
                self.case.assertLess(time.monotonic(), deadline, f"{len(data)} bytes were not taken")
                readable, writable, _ = select.select([self.file], [self.file], [], 1)
                if readable:
                    self.shown += self.read()
                if writable:
                    try:
                        data = data[os.write(self.file, data[:1024]):]
                    except BlockingIOError:
                        pass
        finally:
            os.set_blocking(self.file, True)

    def paste(self, text):
        """As a terminal does once the program has asked for marks: Enter is a carriage return."""
        self.type(b"\x1b[200~" + text.encode().replace(b"\n", b"\r") + b"\x1b[201~")

    def modes(self):
        """The local modes that the program has set: (whole lines only, echo)."""
        local = termios.tcgetattr(self.file)[3]
        return bool(local & termios.ICANON), bool(local & termios.ECHO)

    def resize(self, rows, columns):
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ends(self, code=0):
        """Waits for the program; everything it still showed."""
        out = self.until("")
        _, status = os.waitpid(self.process, 0)
        self.ended = True
        self.case.assertEqual(os.waitstatus_to_exitcode(status), code, out)
        return out
