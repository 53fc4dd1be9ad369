# Sourced by scripts/check-guide: what docs/guides/operate-a-validator.md promises.
# shellcheck shell=bash

grep -q '^epoch ' "$work/guide.out" || die "the guide shows no status"
