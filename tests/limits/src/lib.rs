//! Tests of rate limits, in process and over a real Redis; see `tests/`.
