//! Prompts and answers, where an operator keeps them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use futures_util::StreamExt as _;
use synapse_core::{
    Body, Caller, Delta, InferenceModule, Input, Message, MetricsData, ModuleExt, Output, testkit::Scripted,
};
use synapse_validator::transcript::{Settings, TranscriptLayer};
use tempfile::TempDir;

fn module() -> Scripted {
    Scripted::new(|_| async {
        Ok(Output::new(Body::from_deltas([
            Delta::text("Ask ada@example.com, "),
            Delta::text("she knows."),
        ])))
    })
}

async fn ask(layer: &TranscriptLayer, prompt: &str) {
    let stack = module().with(layer.clone());
    let mut input = Input::chat("m", [Message::user(prompt)]);
    input.extensions_mut().insert(Caller::new("alice"));
    let mut output = stack.run_inference(input).await.unwrap();
    while let Some(chunk) = output.body.next().await {
        chunk.unwrap();
    }
}

async fn end(layer: &TranscriptLayer) -> MetricsData {
    use synapse_core::Attached as _;
    layer.shutdown().await.unwrap();
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    metrics
}

fn only(directory: &TempDir) -> (String, u32) {
    let mut files = fs::read_dir(directory.path().join("kept")).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    let mode = file.metadata().unwrap().permissions().mode() & 0o777;
    (fs::read_to_string(file.path()).unwrap(), mode)
}

#[tokio::test]
async fn what_is_kept_is_redacted_and_for_the_operator_alone() {
    let directory = TempDir::new().unwrap();
    let layer = TranscriptLayer::open(directory.path().join("kept"), &Settings::default()).unwrap();
    ask(&layer, "my card is 4111 1111 1111 1111").await;
    end(&layer).await;
    let (kept, mode) = only(&directory);
    assert_eq!(mode, 0o600);
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["prompt"], "user: my card is [number]\n");
    assert_eq!(kept["answer"], "Ask [email], she knows.");
    assert_eq!(kept["caller"], "alice");
    assert_eq!(kept["outcome"], "complete");
    assert_eq!(kept["cut"], false);
}

#[tokio::test]
async fn a_day_has_its_bytes_and_a_text_its_own() {
    let directory = TempDir::new().unwrap();
    let mut settings = Settings::default();
    settings.bytes_a_day = 100_000;
    let layer = TranscriptLayer::open(directory.path().join("kept"), &settings).unwrap();
    ask(&layer, &"ä ".repeat(100_000)).await;
    ask(&layer, &"b ".repeat(100_000)).await;
    let metrics = end(&layer).await;
    ask(&layer, "after the end").await;
    let (kept, _) = only(&directory);
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["cut"], true);
    assert!(kept["prompt"].as_str().unwrap().len() <= 64 * 1024);
    let text = format!("{metrics:?}");
    assert!(
        text.contains("transcripts.kept") && text.contains("transcripts.dropped"),
        "{text}"
    );
}

#[tokio::test]
async fn of_a_text_that_is_cut_no_half_of_a_number_or_an_address_is_kept() {
    for (secret, half) in [("4111 1111 1111 1111", "4111"), ("ada@example.com", "ada@")] {
        let directory = TempDir::new().unwrap();
        let layer = TranscriptLayer::open(directory.path().join("kept"), &Settings::default()).unwrap();
        let before = "é".repeat((64 * 1024 - "user: ".len() - 10) / 2);
        ask(&layer, &format!("{before} {secret}")).await;
        end(&layer).await;
        let (kept, _) = only(&directory);
        assert!(
            !kept.contains(half),
            "{}",
            &kept[kept.len().saturating_sub(400)..]
        );
    }
}

#[cfg(feature = "config")]
#[test]
fn where_they_are_switched_off_old_ones_are_forgotten_all_the_same() {
    let directory = TempDir::new().unwrap();
    let kept = directory.path().join("kept");
    let off = synapse_validator::transcript::TranscriptsConfig::default();
    assert!(
        off.layer(&kept).unwrap().is_none() && !kept.exists(),
        "nothing is made"
    );
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("2020-02-29.jsonl"), "").unwrap();
    assert!(off.layer(&kept).unwrap().is_none());
    assert!(!kept.join("2020-02-29.jsonl").exists());
}

#[tokio::test]
async fn old_days_are_forgotten_and_other_files_left_alone() {
    let directory = TempDir::new().unwrap();
    let kept = directory.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for name in ["2020-02-29.jsonl", "2020-02-30.jsonl", "notes.txt"] {
        fs::write(kept.join(name), "").unwrap();
    }
    let _layer = TranscriptLayer::open(&kept, &Settings::default()).unwrap();
    assert!(!kept.join("2020-02-29.jsonl").exists());
    assert!(kept.join("2020-02-30.jsonl").exists() && kept.join("notes.txt").exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_says_what_to_do() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = TranscriptLayer::open(file.join("kept"), &Settings::default()).unwrap_err();
    assert_eq!(error.code(), "transcripts_unwritable");
    assert!(error.hint().unwrap().contains("switch transcripts off"));
}
