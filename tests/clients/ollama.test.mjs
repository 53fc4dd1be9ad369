// The official ollama client for Node, unmodified, against a running subnet at $SYNAPSE_URL.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(`${process.env.SYNAPSE_CLIENTS}/node/`);
const { Ollama } = require("ollama");
const client = new Ollama({ host: process.env.SYNAPSE_URL });
const model = process.env.SYNAPSE_MODEL;
const messages = [{ role: "user", content: "Name a colour." }];
const options = { num_predict: 8, temperature: 0, seed: 7 };

test("a stream says what the whole says", async () => {
  const whole = await client.chat({ model, messages, options });
  assert.ok(whole.done && whole.message.content);
  let text = "";
  let last;
  for await (const part of await client.chat({ model, messages, options, stream: true })) {
    text += part.message.content;
    last = part;
  }
  assert.equal(text, whole.message.content);
  assert.equal(last.done, true);
  assert.equal(last.eval_count, whole.eval_count);
});

test("a prompt is answered", async () => {
  const said = await client.generate({ model, prompt: messages[0].content, options });
  assert.ok(said.response);
});

test("models are listed and shown", async () => {
  assert.ok((await client.list()).models.some((listed) => listed.model === model));
  assert.ok((await client.ps()).models.some((listed) => listed.model === model));
  assert.ok((await client.show({ model })).capabilities.includes("completion"));
  assert.ok((await client.version()).version);
});

test("refusals are Ollama's", async () => {
  const refused = (status) => (error) => error.status_code === status && error.message.length > 0;
  await assert.rejects(client.chat({ model: "nobody", messages }), refused(404));
  await assert.rejects(client.pull({ model }), refused(403));
  await assert.rejects(client.delete({ model }), refused(403));
});
