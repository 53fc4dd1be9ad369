# Sourced by scripts/demo: the subnet as five processes. Ends the script that sources it.
# shellcheck shell=bash

usage() {
    cat <<'USAGE'
Run a subnet as five processes: a chain, a validator, three miners.

Usage: scripts/demo --processes [OPTIONS]

  --once PROMPT     ask this once, print the answer, its usage and the miner that served it, and end
  --listen ADDRESS  where the gateway listens [default: 127.0.0.1:8080]
  --data-dir DIR    where keys, the chain and the nodes' directories are kept; else in one that goes at the end
  --model FILE      the model, a GGUF file; else a small one that is fetched
USAGE
}

# absolute PATH: as whoever called the script sees it.
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s/%s\n' "$CALLED_FROM" "$1" ;; esac; }

once='' listen=127.0.0.1:8080 data='' model=''
while [ $# -gt 0 ]; do
    case $1 in
    --processes) shift ;;
    --once | --listen | --data-dir | --model)
        [ $# -ge 2 ] || die "$1 wants a value"
        case $1 in --once) once=$2 ;; --listen) listen=$2 ;; --data-dir) data=$(absolute "$2") ;; --model) model=$(absolute "$2") ;; esac
        shift 2
        ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "there is no option $1" ;;
    esac
done

need python3 python3
need_rust
need_llama_toolchain
say "building (the first time takes some minutes: llama.cpp is compiled)"
build_nodes
bin=$CARGO_TARGET_DIR/debug
[ -n "$model" ] || model=$("$ROOT/scripts/fetch-model")

umask 077
temporary=''
[ -n "$data" ] || { temporary=$(mktemp -d); data=$temporary; }
mkdir -p "$data"

# Each node in a process group of its own: Ctrl-C is for this script, which then ends them in order.
set -m
pids=() names=()
finish() {
    trap '' INT TERM
    local at
    for ((at = ${#pids[@]} - 1; at >= 0; at--)); do
        kill -TERM "${pids[at]}" 2>/dev/null || true
        wait "${pids[at]}" 2>/dev/null || true
    done
    [ -z "$temporary" ] || rm -rf "$temporary"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# launch NAME PROGRAM ARGUMENTS…: starts a node; what it says is in $data/NAME.out and $data/NAME.log.
launch() {
    local name=$1 program=$2
    shift 2
    "$bin/$program" "$@" >"$data/$name.out" 2>"$data/$name.log" </dev/null &
    pids+=($!) names+=("$name")
}

# until_ready NAME: waits until a node says that it is, and sets `url` to where.
until_ready() {
    local at
    for at in "${!names[@]}"; do [ "${names[at]}" != "$1" ] || break; done
    for _ in $(seq 2400); do
        url=$(sed -n 's/^ready //p' "$data/$1.out")
        [ -z "$url" ] || return 0
        kill -0 "${pids[at]}" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 20 "$data/$1.log" >&2
    die "$1 did not become ready"
}

[ -s "$data/passphrase" ] || head -c 24 /dev/urandom | base64 >"$data/passphrase"
keys=(--keys "$data/keys" --passphrase-file "$data/passphrase")
for name in validator miner-1 miner-2 miner-3; do
    [ -e "$data/keys/$name" ] ||
        "$bin/keys" --dir "$data/keys" --passphrase-file "$data/passphrase" create "$name" >/dev/null 2>&1 ||
        die "the key $name could not be made in $data/keys"
done

launch chain devchain run --data-dir "$data/chain" --listen 127.0.0.1:0 --faucet 1000000
until_ready chain
chain=$url
node=(--chain "$chain" "${keys[@]}")
threads=$(($(getconf _NPROCESSORS_ONLN) / 3))
for name in miner-1 miner-2 miner-3; do
    launch "$name" miner "${node[@]}" --key "$name" --data-dir "$data/$name" --listen 127.0.0.1:0 \
        --llama "$model" --model-id smollm2-135m --threads $((threads > 0 ? threads : 1))
    "$bin/register" "${node[@]}" --key "$name" --role miner --stake 100 --faucet >/dev/null
done
"$bin/register" "${node[@]}" --key validator --role validator --stake 100 --faucet >/dev/null
for name in miner-1 miner-2 miner-3; do until_ready "$name"; done
launch validator validator "${node[@]}" --key validator --data-dir "$data/validator" --listen "$listen" \
    --allow-loopback --tokenizer "smollm2-135m=$model"
until_ready validator

if [ -n "$once" ]; then
    python3 "$ROOT/scripts/lib/ask.py" "$url" smollm2-135m "$once"
    exit
fi
printf 'ready %s\n' "$url"
cat >&2 <<TOLD

five processes: a chain, a validator, three miners; what they say is in $data/*.log

  curl $url/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"smollm2-135m","messages":[{"role":"user","content":"Name three primary colours."}]}'

  cargo run -p chat -- --url $url
  $bin/devchain status --chain $chain
  $url/health/ready, $url/metrics

Ctrl-C ends them all.
TOLD
wait -n || true
for at in "${!pids[@]}"; do
    kill -0 "${pids[at]}" 2>/dev/null || { tail -n 20 "$data/${names[at]}.log" >&2; die "${names[at]} ended"; }
done
exit
