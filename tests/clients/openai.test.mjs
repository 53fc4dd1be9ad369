// The official openai client for Node, unmodified, against a running subnet at $SYNAPSE_URL.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const { default: OpenAI } = await import(createRequire(`${process.env.SYNAPSE_CLIENTS}/node/`).resolve("openai"));

const model = process.env.SYNAPSE_MODEL;
const client = new OpenAI({ baseURL: `${process.env.SYNAPSE_URL}/v1`, apiKey: "ignored on loopback", maxRetries: 0 });
const messages = [{ role: "user", content: "Name three primary colours." }];

test("answers with text and usage", async () => {
  const { data, response } = await client.chat.completions.create({ model, messages, max_tokens: 40, temperature: 0 }).withResponse();
  assert.match(data.choices[0].message.content, /red/i);
  assert.ok(data.usage.completion_tokens > 2);
  assert.ok(response.headers.get("x-synapse-miner"));
});

test("streams, with usage at the end", async () => {
  const stream = await client.chat.completions.create({
    model, messages, max_tokens: 16, temperature: 0, stream: true, stream_options: { include_usage: true },
  });
  let text = "", usage, chunks = 0;
  for await (const chunk of stream) {
    chunks += 1;
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.ok(chunks > 4 && text.length > 8);
  assert.equal(usage.completion_tokens, 16);
});

test("completions", async () => {
  const reply = await client.completions.create({ model, prompt: "The capital of France is", max_tokens: 8, temperature: 0 });
  assert.match(reply.choices[0].text, /Paris/);
});

test("embeddings have unit length and repeat, in both encodings", async () => {
  const input = ["a red apple", "a red apple"];
  const floats = await client.embeddings.create({ model, input, encoding_format: "float" });
  const [first, again] = floats.data.map((item) => item.embedding);
  assert.ok(Math.abs(first.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  assert.deepEqual(first, again);
  const byDefault = await client.embeddings.create({ model, input });
  assert.equal(byDefault.data[0].embedding.length, first.length);
  assert.ok(Math.abs(byDefault.data[0].embedding[0] - first[0]) < 1e-6);
});

test("log-probabilities", async () => {
  const reply = await client.chat.completions.create({ model, messages, max_tokens: 3, logprobs: true, top_logprobs: 2 });
  assert.equal(reply.choices[0].logprobs.content.length, 3);
  assert.equal(reply.choices[0].logprobs.content[0].top_logprobs.length, 2);
});

test("lists models", async () => {
  const ids = [];
  for await (const item of client.models.list()) ids.push(item.id);
  assert.ok(ids.includes(model));
});

test("errors carry status and code", async () => {
  await assert.rejects(client.chat.completions.create({ model: "gpt-17", messages }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError);
});

test("a client that leaves frees its place", async () => {
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 400, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  const until = Date.now() + 10_000;
  for (;;) {
    const metrics = await (await fetch(`${process.env.SYNAPSE_URL}/metrics`)).text();
    const flying = metrics.split("\n").filter((line) => line.startsWith("synapse_pool_in_flight")).map((line) => Number(line.split(" ").pop()));
    if (flying.every((count) => count === 0)) break;
    assert.ok(Date.now() < until, "the request is still in flight");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});
