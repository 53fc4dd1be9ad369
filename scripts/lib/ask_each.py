"""Asks validators until each of a model's miners has answered: ask_each.py MODEL MINERS URL…, MINERS joined by commas."""
import json
import sys
import urllib.request

MOST = 60  # of two miners one is left out so often once in 2^60 times

model, miners, *urls = sys.argv[1:]
left = set(miners.split(","))
question = {"model": model, "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 2}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
answered = {}
for at in range(MOST):
    url = urls[at % len(urls)]
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(question).encode(), {"content-type": "application/json"}
    )
    with opener.open(request, timeout=120) as reply:
        miner = reply.headers["x-synapse-miner"]
        json.load(reply)
    if miner not in miners.split(","):
        sys.exit(f"error: {model} was answered by {miner}, which does not serve it")
    answered[miner] = answered.get(miner, 0) + 1
    left.discard(miner)
    if not left:
        break
else:
    sys.exit(f"error: of {MOST} requests for {model} none was answered by {', '.join(left)}")
for miner, times in answered.items():
    print(f"{miner} answered {times} of {at + 1} for {model}")
