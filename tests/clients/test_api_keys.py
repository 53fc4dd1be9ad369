"""API keys, as the official clients of OpenAI and Ollama meet them.

The gateway is the program `openai_upstream`, found at $SYNAPSE_OPENAI_UPSTREAM, before a fake that always answers the same;
keys are made and revoked by the program `api_keys`, found at $SYNAPSE_API_KEYS.
"""
import json
import os
import subprocess
import tempfile
import unittest

import ollama
import openai

from test_broken import END, FIRST, HEAD, Upstream

FOLDER, LOG, UPSTREAM, URL = tempfile.TemporaryDirectory(), tempfile.TemporaryFile("w+"), Upstream(), None
SECRETS = []
UPSTREAM.answer = lambda connection: connection.sendall(HEAD + FIRST + END)


def keys(*arguments):
    told = subprocess.run([os.environ["SYNAPSE_API_KEYS"], *arguments, "--data-dir", FOLDER.name, "--json"],
                          stdout=subprocess.PIPE, text=True, check=True)
    made = json.loads(told.stdout)
    SECRETS.extend(filter(None, [made.get("secret")]))
    return made


def setUpModule():
    global URL
    unittest.addModuleCleanup(FOLDER.cleanup)
    options = ["--upstream", f"http://127.0.0.1:{UPSTREAM.port}", "--listen", "127.0.0.1:0", "--api-keys", FOLDER.name,
               "--requests-per-minute", "5"]
    gateway = subprocess.Popen([os.environ["SYNAPSE_OPENAI_UPSTREAM"], *options], stdout=subprocess.PIPE, stderr=LOG, text=True,
                               env=os.environ | {"RUST_LOG": "trace"})
    unittest.addModuleCleanup(gateway.wait, 20)
    unittest.addModuleCleanup(gateway.kill)
    unittest.addModuleCleanup(gateway.stdout.close)
    URL = gateway.stdout.readline().removeprefix("ready ").strip()
    assert URL.startswith("http"), "openai_upstream did not become ready"


def tearDownModule():
    LOG.seek(0)
    log = LOG.read()
    LOG.close()
    assert "revoked_api_key" in log, "the log is not that of the gateway"
    for secret in SECRETS:
        assert secret.removeprefix("sk-syn-") not in log, "a key is in the log"


def ask(key):
    client = openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0, timeout=30)
    return client.chat.completions.with_raw_response.create(model="fake", messages=[{"role": "user", "content": "hi"}])


class Keys(unittest.TestCase):
    def refused(self, kind, code, key):
        with self.assertRaises(kind) as caught:
            ask(key)
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_each_refusal_is_the_clients_own(self):
        made = keys("create", "--caller", "alice")
        self.assertEqual(ask(made["secret"]).parse().choices[0].message.content, "one ")
        keys("revoke", made["id"])
        self.refused(openai.AuthenticationError, "revoked_api_key", made["secret"])
        self.refused(openai.AuthenticationError, "invalid_api_key", "sk-proj-0123")
        other = keys("create", "--caller", "bob", "--models", "other")
        refused = self.refused(openai.PermissionDeniedError, "model_not_allowed", other["secret"])
        self.assertEqual(refused.param, "model")
        self.assertIn("other", refused.message)
        listed = openai.OpenAI(base_url=f"{URL}/v1", api_key=other["secret"]).models.list()
        self.assertEqual([model.id for model in listed], [])

    def test_what_is_left_stands_in_the_headers_that_clients_read(self):
        key = keys("create", "--caller", "carol")["secret"]
        left = [int(ask(key).headers["x-ratelimit-remaining-requests"]) for _ in range(5)]
        self.assertEqual(left, [4, 3, 2, 1, 0])
        headers = self.refused(openai.RateLimitError, "rate_limited", key).response.headers
        self.assertEqual(headers["x-ratelimit-limit-requests"], "5")
        self.assertEqual(headers["x-ratelimit-remaining-requests"], "0")
        self.assertRegex(headers["x-ratelimit-reset-requests"], r"^\d+(\.\d+)?s$|^1m0s$")
        self.assertIn("retry-after", headers)

    def test_ollamas_client_shows_its_key_as_a_header(self):
        key = keys("create", "--caller", "dave")["secret"]
        said = ollama.Client(host=URL, headers={"authorization": f"Bearer {key}"}).chat("fake", [{"role": "user", "content": "hi"}])
        self.assertEqual(said.message.content, "one ")
        with self.assertRaises(ollama.ResponseError) as caught:
            ollama.Client(host=URL).chat("fake", [{"role": "user", "content": "hi"}])
        self.assertEqual(caught.exception.status_code, 401)
        self.assertIn("API key", caught.exception.error)


if __name__ == "__main__":
    unittest.main()
