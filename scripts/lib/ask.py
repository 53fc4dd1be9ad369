"""Asks a gateway once: ask.py URL MODEL PROMPT. Prints the answer, the miner that served it, and the usage."""
import json
import sys
import time
import urllib.error
import urllib.request

url, model, prompt = sys.argv[1:]
question = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 128, "temperature": 0}
request = urllib.request.Request(
    f"{url}/v1/chat/completions", json.dumps(question).encode(), {"content-type": "application/json"}
)
start = time.monotonic()
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as reply:
        miner, answer = reply.headers.get("x-synapse-miner"), json.load(reply)
except urllib.error.HTTPError as error:
    sys.exit(f"error: {error}: {error.read().decode(errors='replace')}")
usage = answer["usage"]
print(answer["choices"][0]["message"]["content"].strip(), end="\n\n")
print(f"miner: {miner}")
print(f"usage: {usage['prompt_tokens']} in, {usage['completion_tokens']} out ({int((time.monotonic() - start) * 1000)} ms)")
