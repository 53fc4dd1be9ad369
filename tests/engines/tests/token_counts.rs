//! llama-servers count the tokens of our texts as the vectors say, by which the embedded tokenizer is tested.

use parts::llama_server::Start;
use serde_json::Value;
use synapse_miner::inference::LlamaServerModule;

/// Compares a column of the vectors with what this server says.
async fn check(server: Start, column: &str) {
    let file = include_str!("../../vectors/token_counts.json");
    let vectors: Value = serde_json::from_str(file).expect("it is JSON");
    let columns = vectors["columns"].as_array().expect("columns");
    let column = columns.iter().position(|name| *name == column);
    let column = column.expect("a column for each vocabulary");
    let texts = vectors["texts"].as_array().expect("texts");
    assert!(texts.len() >= 1_000);
    let server = server.slots(1, 64).start();
    let module = LlamaServerModule::connect(&server.url())
        .await
        .expect("a llama-server");
    for row in texts {
        let text = row[0].as_str().expect("a text");
        let tokens = module.tokenize(text).await.expect("tokens");
        assert_eq!(Some(tokens.len() as u64), row[column].as_u64(), "{text:?}");
    }
}

#[tokio::test]
async fn smollm2() {
    check(Start::new(), "smollm2").await;
}

#[tokio::test]
async fn gemma3() {
    let model = parts::part("fetch-model", &["gemma3-270m"]);
    check(Start::new().model(model), "gemma3").await;
}
