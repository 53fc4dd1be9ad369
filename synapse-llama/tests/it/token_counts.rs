//! The embedded tokenizer counts as llama-server does. The counts are those of real servers, which tests/engines asks again.

use std::path::Path;

use serde_json::Value;
use synapse_core::Tokenizer;
use synapse_llama::{LlamaTokenizer, LlamaWeights};

use crate::support::{model_path, tokenizer};

fn check(tokenizer: &LlamaTokenizer, column: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/token_counts.json");
    let file = std::fs::read(path).expect("the vectors");
    let vectors: Value = serde_json::from_slice(&file).expect("it is JSON");
    let columns = vectors["columns"].as_array().expect("columns");
    let column = columns.iter().position(|name| *name == column);
    let column = column.expect("a column for each vocabulary");
    let texts = vectors["texts"].as_array().expect("texts");
    assert!(texts.len() >= 1_000);
    for row in texts {
        let text = row[0].as_str().expect("a text");
        let count = tokenizer.count(text).expect("it counts");
        assert_eq!(Some(count.tokens()), row[column].as_u64(), "{text:?}");
    }
}

#[test]
fn smollm2_counts_as_llama_server_does() {
    check(&tokenizer(), "smollm2");
}

#[test]
fn gemma3_counts_as_llama_server_does() {
    let path = model_path().with_file_name("gemma-3-270m-q4_k_m.gguf");
    assert!(
        path.exists(),
        "no model at {}: run scripts/fetch-model gemma3-270m",
        path.display()
    );
    let weights = LlamaWeights::load(path).expect("the model loads");
    check(&LlamaTokenizer::new(weights), "gemma3");
}
