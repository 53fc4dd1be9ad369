//! What users write and models answer is nowhere but on its way.

use std::{fs, path::Path, time::Duration};

use nodes_tests::{Node, Process, Signal, Subnet, ask, ask_whole, post};

/// In each prompt, and shouted in each answer.
const CANARY: &str = "canary-7f3a9c";
/// Requests that are refused, each with the canary in it.
const REFUSED: [&str; 5] = [
    r#"{"model": "shout", "messages": [{"role": "user", "content": "canary-7f3a9c"}"#,
    r#"{"model": "no-such-model", "messages": [{"role": "user", "content": "canary-7f3a9c"}]}"#,
    r#"{"model": "shout", "messages": "canary-7f3a9c"}"#,
    r#"{"model": "shout", "messages": [{"role": "user", "content": {"canary-7f3a9c": 1}}]}"#,
    r#"{"model": "shout", "max_tokens": "canary-7f3a9c", "messages": []}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_output_of_a_run_has_a_prompt_or_an_answer() {
    let run = Run::start(|validator| validator).await;
    let said = run.said().await;
    for (of, text) in &said {
        assert!(!holds(text), "{of} has the prompt:\n{}", around(text));
    }
    let log = &said.iter().find(|(of, _)| of == "the validator's log").unwrap().1;
    assert!(log.contains("gen_ai.request.model"), "it did log: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_operator_asks_for_it_by_name_it_is_in_one_place() {
    let run = Run::start(|validator| validator.arg("--keep-prompts-and-answers")).await;
    let said = run.said().await;
    let places: Vec<&str> = said
        .iter()
        .filter(|(_, text)| holds(text))
        .map(|(of, _)| of.as_str())
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places[0].contains("/transcripts/"), "{places:?}");
}

fn holds(text: &str) -> bool {
    text.to_lowercase().contains(CANARY)
}

/// The lines that have it.
fn around(text: &str) -> String {
    text.lines()
        .filter(|line| holds(line))
        .take(5)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A subnet that logs whatever it can, and was asked for the canary in many ways.
struct Run {
    nodes: Vec<(&'static str, Node)>,
    processes: Vec<Process>,
}

impl Run {
    async fn start(change: impl FnOnce(Process) -> Process) -> Self {
        let subnet = Subnet::new();
        let chain = subnet.chain().env("RUST_LOG", "trace");
        let mut nodes = vec![("the chain", chain.start().await)];
        for (key, role) in [("validator", "validator"), ("miner", "miner")] {
            let _ = subnet.key(key);
            subnet.register(key, role).await;
        }
        let miner = subnet.miner("miner", 2, 1).env("RUST_LOG", "trace");
        nodes.push(("the miner", miner.start().await));
        let validator = change(subnet.validator("validator").env("RUST_LOG", "trace"));
        nodes.push(("the validator", validator.start().await));
        let at = nodes.last().unwrap().1.address();

        let mut streamed = ask(at, CANARY).await.unwrap();
        assert!(holds(&streamed.text().await), "the answer shouts it");
        let mut whole = ask_whole(at, CANARY).await.unwrap();
        assert!(holds(&whole.text().await), "the answer shouts it");
        drop(ask(at, CANARY).await.unwrap());
        for body in REFUSED {
            let refused = post(at, "/v1/chat/completions", body).await.unwrap();
            assert!(
                (400..500).contains(&refused.status()),
                "{body}: {}",
                refused.status()
            );
        }
        Self {
            nodes,
            processes: vec![chain, miner, validator],
        }
    }

    /// Ends all nodes, and returns whatever they wrote.
    async fn said(mut self) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for (name, node) in self.nodes.iter_mut().rev() {
            node.signal(Signal::TERM);
            assert!(node.ended(Duration::from_secs(60)).await.is_some(), "{name} ends");
            said.push((format!("{name}'s log"), node.stderr()));
        }
        for process in &self.processes {
            read_all(process.data(), &mut said);
        }
        said
    }
}

/// The content of every file in there, whatever it is.
fn read_all(directory: &Path, said: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, said);
        } else if let Ok(bytes) = fs::read(&path) {
            said.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
}
