//! Vocabularies of a `tokenizer.json`.

use serde_json::json;
use synapse_core::{Precision, RenderedPrompt, Tokenizer};
use synapse_validator::token_count::JsonTokenizer;

/// Words, with two added tokens of which one is special.
fn content() -> String {
    let added = |id: u32, content: &str, special: bool| {
        json!({
            "id": id, "content": content, "special": special,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    };
    json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0 },
        "padding": null,
        "added_tokens": [added(0, "<end>", true), added(1, "<think>", false)],
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": null,
        "model": {
            "type": "WordLevel",
            "vocab": { "<end>": 0, "<think>": 1, "red": 2, "blue": 3, "<": 4, "end": 5, ">": 6, "?": 7 },
            "unk_token": "?",
        },
    })
    .to_string()
}

#[test]
fn special_tokens_are_text_but_in_templates() {
    let tokenizer = JsonTokenizer::parse("colours", content().as_bytes()).unwrap();
    assert_eq!(tokenizer.encode("red blue").unwrap(), [2, 3]);
    assert_eq!(tokenizer.encode("red<end>").unwrap(), [2, 4, 5, 6]);
    assert_eq!(tokenizer.encode("<think>red").unwrap(), [1, 2]);
    let count = tokenizer.count("red blue red blue red blue").unwrap();
    assert_eq!((count.tokens(), count.precision()), (6, Precision::Exact));
    let mut prompt = RenderedPrompt::new("red<end>", "tests");
    prompt.push_plain("<end>");
    assert_eq!(tokenizer.encode_prompt(&prompt).unwrap(), [2, 0, 4, 5, 6]);
    assert_eq!(tokenizer.decode(&[2, 0]).unwrap(), "red <end>");
    assert_eq!(tokenizer.decode(&[2, 99]).unwrap_err().code(), "unknown_token");
}

#[test]
fn a_file_that_is_none_is_refused_by_its_name() {
    let error = JsonTokenizer::open("/nowhere/tokenizer.json").unwrap_err();
    assert_eq!(error.code(), "tokenizer_unreadable");
    assert!(error.message().contains("/nowhere/tokenizer.json"), "{error}");
    for content in ["", "{}", "[1, 2]", "\0\0", &content()[..200]] {
        let error = JsonTokenizer::parse("broken", content.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "invalid_tokenizer", "{content:?}");
        assert!(error.hint().is_some());
    }
}
