#!/usr/bin/env python3
"""HTTPS of `tutti serve`, with the certificate of tests/http/tls: tls_test.py PROGRAM SOURCE_DIRECTORY."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import tiny_r1
from server_test import STREAM, ServerCase

ASK = {"messages": [{"role": "user", "content": "What is 3+4?"}], "temperature": 0, "max_tokens": 60}


def pem(name):
    return os.path.join(cli_test.SOURCE, "tests", "http", "tls", name)


class Tls(ServerCase):
    def https(self, *args):
        process = self.start(
            "serve", tiny_r1(), "--device", "cpu", "--port", "0", "--tls-cert", pem("certificate.pem"),
            "--tls-key", pem("key.pem"), *args, variables={"XDG_RUNTIME_DIR": self.path(".")},
        )  # fmt: skip
        lines = []
        for line in process.stderr:
            lines.append(line.decode())
            if "ready: https://" in lines[-1]:
                break
        port = re.search(r"ready: https://127\.0\.0\.1:(\d+)/v1", lines[-1] if lines else "")
        self.assertTrue(port, lines)
        self.process = process
        return int(port[1])

    @staticmethod
    def context():
        context = ssl.create_default_context(cafile=pem("certificate.pem"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def ask(self, port, body, path="/v1/chat/completions"):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=self.context())
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        chosen = connection.sock.selected_alpn_protocol() if connection.sock else "http/1.1"
        connection.close()
        self.assertEqual(chosen, "http/1.1")
        self.assertEqual(response.status, 200, text)
        return text

    def check(self, *args):
        port = self.https(*args)
        self.assertIn("7", json.loads(self.ask(port, ASK))["choices"][0]["message"]["content"])
        stream = self.ask(port, STREAM, "/v1/completions")
        self.assertTrue(stream.endswith("data: [DONE]\n\n"))
        self.assertGreater(len(stream), 100_000)
        # A body over many records, one connection for all.
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=self.context())
        for size in (1, 16384, 16385, 300_000):
            connection.request("POST", "/v1/completions", json.dumps({"prompt": "x" * size, "n": 0}),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual(response.status, 400)
            self.assertIn('"error"', response.read().decode())
        connection.close()
        return port

    def test_requests_and_streams(self):
        port = self.check()
        # What speaks no TLS gets nothing, and harms nobody.
        for first in (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00" * 100):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                try:
                    s.sendall(first)
                    s.shutdown(socket.SHUT_WR)
                    self.assertNotIn(b"HTTP/", s.recv(100))
                except OSError:
                    pass  # it was faster
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.verify_mode = ssl.CERT_NONE
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                old.wrap_socket(s)
        self.ask(port, ASK)
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, 0)

    def test_in_front_of_an_engine(self):
        self.check("--supervise")

    def test_mistakes(self):
        def refused(code, part, *args):
            self.refused("serve", tiny_r1(), "--device", "cpu", "--port", "0", *args, code=code, parts=[part])

        refused(64, "--tls-key", "--tls-cert", pem("certificate.pem"))
        refused(66, "--tls-cert /nonexistent", "--tls-cert", "/nonexistent", "--tls-key", pem("key.pem"))
        refused(66, "--tls-key", "--tls-cert", pem("certificate.pem"), "--tls-key", pem("certificate.pem"))


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
