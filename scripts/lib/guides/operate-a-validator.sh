# Sourced by scripts/check-guide: what docs/guides/operate-a-validator.md promises.
# shellcheck shell=bash

grep -q '^epoch [0-9]* of subnet 7' "$work/guide.out" || die "the guide shows no status"
[ "$(grep -c ' submitted .* submitted$' "$work/guide.out")" -ge 2 ] || die "the weights of both keys were not submitted"
grep -q '^signed by it, a validator of the subnet' "$work/guide.out" || die "the miner got no signed score"
grep -q 'standard 1 .*quickest 1' "$work/guide.out" || die "the backtest shows no second policy"
