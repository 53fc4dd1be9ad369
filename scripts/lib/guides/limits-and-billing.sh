# Sourced by scripts/check-guide: what docs/guides/limits-and-billing.md promises.
# shellcheck shell=bash

grep -q '"code":"no_account"' "$work/guide.out" || die "who paid nothing in was served"
grep -q '^x-ratelimit-remaining-requests: ' "$work/guide.out" || die "the reply does not say what is left"
[ "$(grep -c '"object":"chat.completion"' "$work/guide.out")" -eq 2 ] || die "alice and bob were not served once each"
[ "$(grep -c '"code":"revoked_api_key"' "$work/guide.out")" -eq 2 ] || die "the revoked key was not refused, before and after the kill"
[ "$(wc -l <"$work/clone/subnet/rows.csv")" -eq 2 ] || die "the export has other rows than a head and alice's"
