"""The official ollama client for Python, unmodified, against a running subnet at $SYNAPSE_URL."""

import asyncio
import json
import os
import unittest
import urllib.request

import ollama

URL = os.environ["SYNAPSE_URL"]
MODEL = os.environ["SYNAPSE_MODEL"]
ASK = [{"role": "user", "content": "Name a colour."}]
SHORT = {"num_predict": 8, "temperature": 0, "seed": 7}

client = ollama.Client(host=URL)


class Chat(unittest.TestCase):
    def test_whole(self):
        reply = client.chat(model=MODEL, messages=ASK, options=SHORT)
        self.assertTrue(reply.done)
        self.assertEqual(reply.message.role, "assistant")
        self.assertTrue(reply.message.content)
        self.assertIn(reply.done_reason, ("stop", "length"))
        self.assertGreater(reply.prompt_eval_count, 0)
        self.assertTrue(0 < reply.eval_count <= 8)
        self.assertGreater(reply.total_duration, 0)

    def test_a_stream_says_what_the_whole_says(self):
        whole = client.chat(model=MODEL, messages=ASK, options=SHORT)
        parts = list(client.chat(model=MODEL, messages=ASK, options=SHORT, stream=True))
        self.assertGreater(len(parts), 2)
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertEqual([part.done for part in parts], [False] * (len(parts) - 1) + [True])
        self.assertEqual(parts[-1].eval_count, whole.eval_count)

    def test_asynchronously(self):
        async def ask():
            asynchronous = ollama.AsyncClient(host=URL)
            parts = await asynchronous.chat(model=MODEL, messages=ASK, options=SHORT, stream=True)
            return "".join([part.message.content async for part in parts])

        self.assertEqual(asyncio.run(ask()), client.chat(model=MODEL, messages=ASK, options=SHORT).message.content)


class Generate(unittest.TestCase):
    def test_a_prompt_is_a_conversation(self):
        said = client.generate(model=MODEL, prompt=ASK[0]["content"], options=SHORT)
        self.assertEqual(said.response, client.chat(model=MODEL, messages=ASK, options=SHORT).message.content)

    def test_a_raw_prompt_is_continued(self):
        parts = list(client.generate(model=MODEL, prompt="Two plus two is", raw=True, options=SHORT, stream=True))
        self.assertTrue("".join(part.response for part in parts))
        self.assertTrue(parts[-1].done)


class Models(unittest.TestCase):
    def test_they_are_listed_and_shown(self):
        self.assertIn(MODEL, [model.model for model in client.list().models])
        self.assertIn(MODEL, [model.model for model in client.ps().models])
        self.assertIn("completion", client.show(MODEL).capabilities)


class Refusals(unittest.TestCase):
    def refused(self, call, status):
        with self.assertRaises(ollama.ResponseError) as caught:
            call()
        self.assertEqual(caught.exception.status_code, status, caught.exception.error)
        return caught.exception.error

    def test_they_are_ollamas(self):
        self.assertIn("nobody", self.refused(lambda: client.chat(model="nobody", messages=ASK), 404))
        self.refused(lambda: client.show("nobody"), 404)
        self.refused(lambda: list(client.chat(model="nobody", messages=ASK, stream=True)), 404)
        self.refused(lambda: client.chat(model=MODEL, messages=ASK, options={"temperature": 9}), 400)
        self.refused(lambda: client.chat(model=MODEL, messages=[]), 400)

    def test_nobody_manages_models_from_outside(self):
        self.refused(lambda: client.pull(MODEL), 403)
        self.refused(lambda: client.delete(MODEL), 403)
        self.refused(lambda: client.copy(MODEL, "other"), 403)
        self.refused(lambda: client.create(model="other", from_=MODEL), 403)
        self.refused(lambda: client.push(MODEL), 403)


class Curl(unittest.TestCase):
    def test_ollamas_own_examples_name_no_content_type(self):
        body = json.dumps({"model": MODEL, "messages": ASK, "options": SHORT, "stream": False}).encode()
        request = urllib.request.Request(f"{URL}/api/chat", body)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as reply:
            self.assertTrue(json.load(reply)["done"])


if __name__ == "__main__":
    unittest.main(verbosity=0, warnings="ignore")
