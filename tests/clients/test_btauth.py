"""Signed requests between Bittensor's own SDK and ours, both ways: it verifies what we sign, and we verify what it signs.

The program `btauth`, found at $SYNAPSE_BTAUTH, is our end of both.
"""
import http.server
import json
import os
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

from bittensor import http_auth
from bittensor.keyfiles import Keypair

PROGRAM = os.environ["SYNAPSE_BTAUTH"]
SCHEMES = {"sr25519": 1, "ed25519": 0}
ALICE = {scheme: Keypair.create_from_uri("//Alice", number) for scheme, number in SCHEMES.items()}
BOB = Keypair.create_from_uri("//Bob", SCHEMES["sr25519"]).ss58_address
CHARLIE = Keypair.create_from_uri("//Charlie", SCHEMES["sr25519"])
BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}).encode()
PATH = "/v1/chat/completions?trace=1"


class Miner(http.server.BaseHTTPRequestHandler):
    """Bob, in Python: answers what the SDK lets through."""

    protocol_version = "HTTP/1.1"
    nonces = http_auth.InMemoryNonceStore()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            caller = http_auth.verify(
                self.headers, body, method=self.command, path=self.path, self_hotkey_ss58=BOB, nonce_store=self.nonces
            )
            said = f"{caller.hotkey_ss58} {self.path}"
            status, reply = 200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]}
        except http_auth.AuthError as error:
            status, reply = 401, {"error": {"message": repr(error)}}
        reply = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


class WeSign(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Miner)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, scheme, receiver, path=""):
        url = f"http://127.0.0.1:{self.server.server_port}{path}"
        command = [PROGRAM, "ask", "--key", "//Alice", "--scheme", scheme, "--receiver", receiver, "--url", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()

    def test_it_verifies_what_we_sign(self):
        for scheme, alice in ALICE.items():
            for path in ("", "/a%20prefix"):
                with self.subTest(scheme=scheme, path=path):
                    said = self.ask(scheme, BOB, path)
                    self.assertEqual(said, f"{alice.ss58_address} {path}/v1/chat/completions")

    def test_it_refuses_what_we_sign_for_another(self):
        self.assertEqual(self.ask("sr25519", CHARLIE.ss58_address), "upstream_refused_us")


class TheySign(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        callers = [argument for alice in ALICE.values() for argument in ("--caller", alice.ss58_address)]
        cls.node = subprocess.Popen([PROGRAM, "serve", "--key", "//Bob", *callers], stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.node.stdout.close)
        cls.addClassCleanup(cls.node.wait, 20)
        cls.addClassCleanup(cls.node.terminate)
        cls.url = cls.node.stdout.readline().removeprefix("ready ").strip()
        assert cls.url.startswith("http"), "btauth did not become ready"

    def send(self, headers, path=PATH, body=BODY):
        headers = {"content-type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            with error:
                self.assertEqual(error.code, 401)
                self.assertLess(abs(int(error.headers["x-synapse-clock"]) - time.time_ns()), 5e9)
                return json.load(error)["error"]["code"]

    def signed(self, wallet=ALICE["sr25519"], **changes):
        parts = {"method": "POST", "path": PATH, "body": BODY, "receiver_ss58": BOB} | changes
        return http_auth.sign(wallet, **parts)

    def test_we_verify_what_it_signs(self):
        for scheme, alice in ALICE.items():
            with self.subTest(scheme=scheme):
                self.assertEqual(self.send(self.signed(alice)), "one two three")

    def test_we_refuse_what_it_did_not_sign(self):
        cases = {
            "wrong_receiver": self.signed(receiver_ss58=CHARLIE.ss58_address),
            "unknown_caller": self.signed(CHARLIE),
            "bad_signature": self.signed(path="/v1/completions"),
            "malformed_auth": {},
            "stale_request": self.signed(nonce_ns=time.time_ns() - 11_000_000_000),
        }
        for code, headers in cases.items():
            with self.subTest(code=code):
                self.assertEqual(self.send(headers), code)
        used = self.signed()
        self.assertEqual(self.send(used), "one two three")
        self.assertEqual(self.send(used), "replayed_request")


if __name__ == "__main__":
    unittest.main(verbosity=2)
