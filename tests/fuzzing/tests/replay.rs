//! The committed corpus and random bytes, through everything that a fuzzer feeds.

use std::path::Path;

use proptest::prelude::*;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in folder.read_dir().expect("the corpus is committed") {
        run(&std::fs::read(entry.expect("a file of the corpus").path()).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count >= 5, "{target} has a corpus of {count}");
}

#[test]
fn the_corpus_of_requests() {
    replay("openai_request", fuzzing::openai_request);
}

#[test]
fn the_corpus_of_replies() {
    replay("openai_reply", fuzzing::openai_reply);
}

#[test]
fn the_corpus_of_requests_in_ollamas_format() {
    replay("ollama_request", fuzzing::ollama_request);
}

#[test]
fn the_corpus_of_replies_in_ollamas_format() {
    replay("ollama_reply", fuzzing::ollama_reply);
}

#[test]
fn the_corpus_of_transactions() {
    replay("signed_transaction", fuzzing::signed_transaction);
}

#[test]
fn the_corpus_of_streams() {
    replay("sse", fuzzing::sse);
}

#[test]
fn the_corpus_of_signed_headers() {
    replay("signed_headers", fuzzing::signed_headers);
}

#[test]
fn the_corpus_of_headers_at_the_door() {
    replay("door_headers", fuzzing::door_headers);
}

#[test]
fn the_corpus_of_ledger_segments() {
    replay("ledger_segment", fuzzing::ledger_segment);
}

#[test]
fn the_corpus_of_certificates() {
    replay("node_certificate", fuzzing::node_certificate);
}

proptest! {
    #[test]
    fn random_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::openai_request(&data);
        fuzzing::openai_reply(&data);
        fuzzing::ollama_request(&data);
        fuzzing::ollama_reply(&data);
        fuzzing::ledger_segment(&data);
        fuzzing::sse(&data);
        fuzzing::signed_headers(&data);
        fuzzing::door_headers(&data);
        fuzzing::signed_transaction(&data);
    }

    #[test]
    fn a_certificate_with_a_byte_changed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut certificate = include_bytes!("../../../fuzz/corpus/node_certificate/sr25519").to_vec();
        *at.get_mut(&mut certificate) = byte;
        fuzzing::node_certificate(&certificate);
    }

    #[test]
    fn bytes_that_look_like_headers_at_the_door(
        parts in prop::collection::vec(prop::sample::select(vec!["for=", "\"", ",", ";", "\n", "10.0.0.1", "1.2.3.4", ":80", "[::1]", "unknown", " ", "\\", "Bearer ", "sk-syn-", "0a"]), 0..30),
    ) {
        fuzzing::door_headers(parts.concat().as_bytes());
    }

    #[test]
    fn bytes_that_look_like_a_stream(
        size in any::<u8>(),
        parts in prop::collection::vec(prop::sample::select(vec!["data: a", "data", "\n", "\r", "\r\n", "\n\n", ": c", "event: x", "é", "\u{feff}", "data: [DONE]"]), 0..40),
    ) {
        fuzzing::sse(&[&[size], parts.concat().as_bytes()].concat());
    }
}
