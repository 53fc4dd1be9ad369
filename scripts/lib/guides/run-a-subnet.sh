# Sourced by scripts/check-guide: what docs/guides/run-a-subnet.md promises.
# shellcheck shell=bash

grep -q '"content":' "$work/guide.out" || die "the guide's question got no answer"
grep -q 'malformed_auth' "$work/guide.out" || die "a miner answered an unsigned request"
grep -q 'FROM ANOTHER SUBNET' "$work/guide.out" || die "the second subnet gave no answer"
grep -q '^synapse_queue_' "$work/guide.out" || die "the second subnet's miner has no metrics"

say "each miner answers"
# address KEY: the name that the node with this key has in the subnet.
address() { "$CARGO_TARGET_DIR/debug/keys" --dir "$work/clone/subnet/keys" show "$1" | awk '{ print $3 }'; }
validators=(http://127.0.0.1:8080 http://127.0.0.1:8081)
python3 "$ROOT/scripts/lib/ask_each.py" smollm2-135m "$(address miner-1),$(address miner-2)" "${validators[@]}"
python3 "$ROOT/scripts/lib/ask_each.py" shout "$(address miner-3),$(address miner-4)" "${validators[@]}"

export SYNAPSE_CLIENTS SYNAPSE_MODEL=smollm2-135m
for url in "${validators[@]}"; do
    say "the openai clients against the validator at $url"
    export SYNAPSE_URL=$url
    "$SYNAPSE_CLIENTS/python/bin/python" "$ROOT/tests/clients/test_openai.py"
    node --test --test-reporter=tap "$ROOT/tests/clients/openai.test.mjs" >"$work/node.log" || { cat "$work/node.log" >&2; die "the client for Node failed"; }
    grep -E '^# (pass|fail|skipped)' "$work/node.log" >&2
done

say "each node is a process of its own, and still there"
for name in chain validator-1 validator-2 miner-1 miner-2 miner-3 miner-4; do
    pid=$(awk -v name="$name" '$1 == name { print $2 }' "$work/pids")
    [ -n "$pid" ] && program=$(ps -o comm= -p "$pid") && [[ $program != *defunct* ]] || die "$name is gone"
    printf '%-12s %8s  %s\n' "$name" "$pid" "$program"
done
[ -z "$(awk '{ print $2 }' "$work/pids" | sort | uniq -d)" ] || die "two nodes are one process"
