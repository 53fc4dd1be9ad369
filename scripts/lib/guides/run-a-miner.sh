# Sourced by scripts/check-guide: what docs/guides/run-a-miner.md promises.
# shellcheck shell=bash

grep -q 'smollm2:latest' "$work/guide.out" || die "the guide lists no model"
grep -q '"done":true' "$work/guide.out" || die "Ollama's route gave no answer"
grep -q 'management_forbidden' "$work/guide.out" || die "models could be removed from outside"
grep -q 'FROM A CONTAINER' "$work/guide.out" || die "the container gave no answer"
grep -q 'killed by signal 9' "$work/miner-1.err" || die "the operator was not told that the engine died"

export SYNAPSE_CLIENTS SYNAPSE_URL=http://127.0.0.1:8080 SYNAPSE_MODEL=smollm2:latest
say "the official Ollama clients against the validator"
"$SYNAPSE_CLIENTS/python/bin/python" "$ROOT/tests/clients/test_ollama.py"
node --test --test-reporter=tap "$ROOT/tests/clients/ollama.test.mjs" >"$work/node.log" || { cat "$work/node.log" >&2; die "Ollama's client for Node failed"; }
grep -E '^# (pass|fail|skipped)' "$work/node.log" >&2
# Of the openai clients' tests those that hold for every engine and under probes.
say "the official openai clients against the validator"
"$SYNAPSE_CLIENTS/python/bin/python" "$ROOT/tests/clients/test_openai.py" Chat.test_answers_with_text_usage_and_the_miner \
    Chat.test_a_stream_ends_with_its_usage_where_asked Chat.test_log_probabilities Models Errors
node --test --test-reporter=tap --test-name-pattern '^(answers|streams|lists|errors)' "$ROOT/tests/clients/openai.test.mjs" >"$work/node.log" ||
    { cat "$work/node.log" >&2; die "the client for Node failed"; }
grep -E '^# (pass|fail|skipped)' "$work/node.log" >&2

say "nothing outlives its miner"
for name in miner-1 miner-2 miner-3; do
    pid=$(awk -v name="$name" '$1 == name { print $2 }' "$work/pids")
    kill -INT "$pid"
    for _ in $(seq 600); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
done
! pgrep -f "^$("$ROOT/scripts/fetch-ollama") serve$" >/dev/null || die "an Ollama outlived its miner"
