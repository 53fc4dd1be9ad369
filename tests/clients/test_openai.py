"""The official openai client for Python, unmodified, against a running subnet at $SYNAPSE_URL."""
import asyncio
import math
import os
import time
import unittest
import urllib.request

import openai

URL = os.environ["SYNAPSE_URL"]
MODEL = os.environ["SYNAPSE_MODEL"]
PRIMARY = [{"role": "user", "content": "Name three primary colours."}]


def client(**options):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key="ignored on loopback", max_retries=0, timeout=60, **options)


def metric(name):
    """The sum of a metric over its labels, as /metrics shows it."""
    with urllib.request.urlopen(f"{URL}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


class Chat(unittest.TestCase):
    def test_answers_with_text_usage_and_the_miner(self):
        raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=PRIMARY, max_tokens=40, temperature=0)
        reply = raw.parse()
        self.assertRegex(raw.headers["x-synapse-miner"], r"\S")
        self.assertTrue(raw.headers["x-request-id"])
        self.assertEqual(reply.object, "chat.completion")
        self.assertEqual(reply.choices[0].message.role, "assistant")
        self.assertIn("red", reply.choices[0].message.content.lower())
        self.assertIn(reply.choices[0].finish_reason, ("stop", "length"))
        self.assertGreater(reply.usage.prompt_tokens, 5)
        self.assertGreater(reply.usage.completion_tokens, 2)
        self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)

    def test_a_request_that_sets_nothing_is_answered(self):
        reply = client().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Say hi."}])
        self.assertTrue(reply.choices[0].message.content)
        self.assertIn(reply.choices[0].finish_reason, ("stop", "length"))

    def test_a_message_without_content_is_a_message(self):
        calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        messages = [*PRIMARY, {"role": "assistant", "content": None, "tool_calls": calls}, {"role": "user", "content": "So?"}]
        self.assertTrue(client().chat.completions.create(model=MODEL, messages=messages, max_tokens=4).choices)

    def test_a_long_prompt_of_control_tokens_is_refused_at_once(self):
        start = time.monotonic()
        with self.assertRaises(openai.BadRequestError) as caught:
            client().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "<|im_end|>" * 100_000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertLess(time.monotonic() - start, 10)

    def test_a_stream_says_the_same_as_a_whole_reply(self):
        options = dict(model=MODEL, messages=PRIMARY, max_tokens=24, temperature=0)
        whole = client().chat.completions.create(**options)
        chunks = list(client().chat.completions.create(stream=True, **options))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertGreater(len(chunks), 4, "the reply came at once")
        self.assertTrue(all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1]))
        self.assertEqual(chunks[-1].choices[0].finish_reason, whole.choices[0].finish_reason)
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertTrue(all(chunk.usage is None for chunk in chunks))

    def test_a_stream_ends_with_its_usage_where_asked(self):
        options = dict(model=MODEL, messages=PRIMARY, max_tokens=12, temperature=0)
        chunks = list(client().chat.completions.create(stream=True, stream_options={"include_usage": True}, **options))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_a_seed_makes_replies_repeat_and_stops_end_them(self):
        options = dict(model=MODEL, messages=PRIMARY, max_tokens=20, seed=7, temperature=1.0)
        texts = {client().chat.completions.create(**options).choices[0].message.content for _ in range(2)}
        self.assertEqual(len(texts), 1)
        stopped = client().chat.completions.create(model=MODEL, messages=PRIMARY, max_tokens=40, temperature=0, stop=["colours"])
        self.assertNotIn("colours", stopped.choices[0].message.content)
        self.assertEqual(stopped.choices[0].finish_reason, "stop")

    def test_log_probabilities(self):
        reply = client().chat.completions.create(
            model=MODEL, messages=PRIMARY, max_tokens=5, temperature=0, logprobs=True, top_logprobs=4
        )
        content = reply.choices[0].logprobs.content
        self.assertEqual(len(content), 5)
        for token in content:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top_logprobs), 4)
            self.assertEqual(token.top_logprobs[0].token, token.token, "greedy takes the likeliest")
            self.assertLessEqual(sum(math.exp(other.logprob) for other in token.top_logprobs), 1.0001)
        self.assertEqual("".join(token.token for token in content), reply.choices[0].message.content)

    def test_unknown_fields_travel(self):
        reply = client().chat.completions.create(
            model=MODEL, messages=PRIMARY, max_tokens=3, user="someone", metadata={"Model": "x"}, extra_body={"mine": {"a": 1}}
        )
        self.assertTrue(reply.choices)

    def test_the_asynchronous_client_runs_many_at_once(self):
        async def ask(number):
            async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="x", max_retries=0, timeout=60) as asynchronous:
                reply = await asynchronous.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": f"Say the number {number}."}], max_tokens=8
                )
            return reply.choices[0].message.content

        async def all_of_them():
            return await asyncio.gather(*(ask(number) for number in range(8)))

        self.assertEqual(len(asyncio.run(all_of_them())), 8)

    def test_a_client_that_leaves_frees_its_place(self):
        stream = client().chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Count to a thousand, slowly."}], stream=True, max_tokens=400
        )
        next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 10
        while metric("synapse_pool_in_flight") > 0:
            self.assertLess(time.monotonic(), deadline, "the request is still in flight")
            time.sleep(0.02)


class Completions(unittest.TestCase):
    def test_whole_and_streamed(self):
        options = dict(model=MODEL, prompt="The capital of France is", max_tokens=8, temperature=0)
        whole = client().completions.create(**options)
        self.assertEqual(whole.object, "text_completion")
        self.assertIn("Paris", whole.choices[0].text)
        streamed = "".join(chunk.choices[0].text for chunk in client().completions.create(stream=True, **options))
        self.assertEqual(streamed, whole.choices[0].text)

    def test_log_probabilities(self):
        reply = client().completions.create(model=MODEL, prompt="One, two,", max_tokens=3, temperature=0, logprobs=2)
        logprobs = reply.choices[0].logprobs
        self.assertEqual(len(logprobs.tokens), 3)
        self.assertEqual(len(logprobs.token_logprobs), 3)
        self.assertEqual([len(top) for top in logprobs.top_logprobs], [2, 2, 2])
        self.assertEqual("".join(logprobs.tokens), reply.choices[0].text)


class Embeddings(unittest.TestCase):
    def test_unit_length_and_repeatable_in_both_encodings(self):
        texts = ["a red apple", "a red apple", "quantum chromodynamics"]
        by_default = client().embeddings.create(model=MODEL, input=texts)
        as_floats = client().embeddings.create(model=MODEL, input=texts, encoding_format="float")
        self.assertEqual([item.index for item in as_floats.data], [0, 1, 2])
        for encoded, floats in zip(by_default.data, as_floats.data):
            self.assertEqual(len(encoded.embedding), len(floats.embedding))
            for a, b in zip(encoded.embedding, floats.embedding):
                self.assertAlmostEqual(a, b, places=6)
        first, again, other = (item.embedding for item in as_floats.data)
        self.assertAlmostEqual(math.fsum(x * x for x in first), 1.0, places=4)
        self.assertEqual(first, again)
        self.assertLess(sum(a * b for a, b in zip(first, other)), 0.999)
        self.assertGreater(as_floats.usage.prompt_tokens, 3)


class Models(unittest.TestCase):
    def test_listed_and_found(self):
        self.assertIn(MODEL, [model.id for model in client().models.list()])
        self.assertEqual(client().models.retrieve(MODEL).id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            client().models.retrieve("no-such-model")


class Errors(unittest.TestCase):
    def refused(self, error, code, **options):
        request = dict(model=MODEL, messages=PRIMARY, max_tokens=4) | options
        with self.assertRaises(error) as caught:
            client().chat.completions.create(**request)
        self.assertEqual(caught.exception.code, code)
        self.assertTrue(caught.exception.body["message"])

    def test_a_model_that_nobody_serves(self):
        self.refused(openai.NotFoundError, "model_not_found", model="gpt-17")
        with self.assertRaises(openai.NotFoundError):
            client().embeddings.create(model="gpt-17", input="x")

    def test_bad_requests(self):
        self.refused(openai.BadRequestError, "empty_messages", messages=[])
        self.refused(openai.BadRequestError, "out_of_range", temperature=-1)
        self.refused(openai.BadRequestError, "out_of_range", max_tokens=-4)
        self.refused(openai.BadRequestError, "invalid_type", max_tokens="many")
        self.refused(openai.BadRequestError, "context_length_exceeded", messages=[{"role": "user", "content": "word " * 20000}])

    def test_an_error_before_the_first_event_of_a_stream_is_a_status(self):
        with self.assertRaises(openai.NotFoundError):
            client().chat.completions.create(model="gpt-17", messages=PRIMARY, stream=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
