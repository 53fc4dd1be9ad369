"""A broken stream is never a complete one: what the official client sees, through a gateway of ours, of an upstream
that breaks.

The upstream is a fake that exists to inject faults: a raw socket that answers as each test says. Between it and the
client runs the program `openai_upstream`, found at $SYNAPSE_OPENAI_UPSTREAM.
"""
import json
import os
import socket
import subprocess
import threading
import time
import unittest

import openai

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "fake", "object": "model", "created": 0, "owned_by": "fake"}]}).encode()


def event(text, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None} | more
    body = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


FIRST, SECOND = event("one "), event("two")
END = event("", finish_reason="stop") + b"data: [DONE]\n\n"


class Upstream:
    """Answers /v1/models as an upstream would, and everything else as the test says."""

    def __init__(self):
        self.answer = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    block = connection.recv(65536)
                    if not block:
                        return
                    request += block
                path = request.split(b" ")[1]
                if path == b"/v1/models":
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
                    connection.sendall(head % len(MODELS) + MODELS)
                elif path.startswith(b"/v1/chat"):
                    self.answer(connection)
                else:
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        except OSError:
            pass


UPSTREAM, URL, GATEWAY = Upstream(), None, None


def setUpModule():
    global URL, GATEWAY
    options = ["--upstream", f"http://127.0.0.1:{UPSTREAM.port}", "--listen", "127.0.0.1:0", "--idle-timeout", "2"]
    GATEWAY = subprocess.Popen([os.environ["SYNAPSE_OPENAI_UPSTREAM"], *options], stdout=subprocess.PIPE, text=True)
    unittest.addModuleCleanup(GATEWAY.kill)
    URL = GATEWAY.stdout.readline().removeprefix("ready ").strip()
    assert URL.startswith("http"), "openai_upstream did not become ready"


def tearDownModule():
    GATEWAY.terminate()
    GATEWAY.wait(20)


class Broken(unittest.TestCase):
    """What the client read before the error, and the error."""

    def read(self, answer):
        UPSTREAM.answer = answer
        client = openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=30)
        text, failure, ended = "", None, False
        try:
            for chunk in client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}], stream=True):
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    ended = ended or choice.finish_reason is not None
        except Exception as error:  # whatever the client makes of it
            failure = error
        return text, failure, ended

    def breaks(self, answer, code, text="one "):
        seen, failure, _ = self.read(answer)
        self.assertIsNotNone(failure, f"the client took {seen!r} for a whole reply")
        self.assertEqual(seen, text)
        body = getattr(failure, "body", None) or {}
        self.assertEqual(body.get("code"), code, f"{failure!r}")

    def test_a_whole_stream_is_whole(self):
        seen, failure, ended = self.read(lambda c: c.sendall(HEAD + FIRST + SECOND + END))
        self.assertEqual((seen, failure, ended), ("one two", None, True))

    def test_one_byte_at_a_time(self):
        def answer(connection):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in HEAD + FIRST + SECOND + END:
                connection.sendall(bytes([byte]))

        self.assertEqual(self.read(answer)[:2], ("one two", None))

    def test_crlf_cr_comments_and_no_last_blank_line(self):
        for ending in (b"\r\n", b"\r"):
            stream = (b": hello\n\n" + FIRST + SECOND + END.rstrip(b"\n")).replace(b"\n", ending)
            self.assertEqual(self.read(lambda c: c.sendall(HEAD + stream))[:2], ("one two", None))

    def test_the_connection_is_cut(self):
        self.breaks(lambda c: c.sendall(CHUNKED + b"%x\r\n" % len(FIRST) + FIRST + b"\r\n"), "connection_cut")

    def test_done_is_missing(self):
        self.breaks(lambda c: c.sendall(HEAD + FIRST), "truncated_reply")

    def test_cut_inside_an_event(self):
        self.breaks(lambda c: c.sendall(HEAD + FIRST + SECOND[:30]), "truncated_event")

    def test_json_that_is_none(self):
        self.breaks(lambda c: c.sendall(HEAD + FIRST + b'data: {"choices": [}\n\n' + END), "invalid_event")

    def test_utf8_that_is_none(self):
        self.breaks(lambda c: c.sendall(HEAD + FIRST + b'data: {"x": "\xff\xfe"}\n\n' + END), "invalid_event")

    def test_a_line_of_ten_megabytes(self):
        self.breaks(lambda c: c.sendall(HEAD + FIRST + b'data: "' + b"x" * 10_000_000 + b'"\n\n' + END), "event_too_large")

    def test_silence(self):
        def answer(connection):
            connection.sendall(HEAD + FIRST)
            time.sleep(8)

        self.breaks(answer, "idle_timeout")

    def test_an_error_event(self):
        error = b'data: {"error": {"message": "out of memory", "type": "server_error", "code": "oom"}}\n\n'
        self.breaks(lambda c: c.sendall(HEAD + FIRST + error), "upstream_failed")

    def test_a_whole_reply_of_the_wrong_length(self):
        def answer(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{}")

        UPSTREAM.answer = answer
        client = openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=30)
        with self.assertRaises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}])
        self.assertEqual(caught.exception.status_code, 502)

    def test_nothing_before_the_first_event_is_a_status(self):
        UPSTREAM.answer = lambda connection: connection.sendall(HEAD)
        client = openai.OpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=30)
        with self.assertRaises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}], stream=True)
        self.assertEqual(caught.exception.status_code, 502)


if __name__ == "__main__":
    unittest.main(verbosity=2)
