//! One question in both formats, put to a real Ollama: the answer is the same whichever way it goes.

use futures_util::StreamExt as _;
use parts::ollama::{self, MODEL};
use serde_json::{Value, json};
use synapse_core::{Error, ErrorKind, FinishReason, InferenceModule, Input, Output, Task, Usage, Wire};
use synapse_http::{Ollama, OpenAi, OpenAiModule};

/// What a reply says, whatever its format.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    tokens: Vec<(Vec<u8>, f32)>,
    vectors: Vec<Vec<f32>>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
}

async fn said(output: Output) -> Result<Said, Error> {
    let mut said = Said::default();
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        for delta in chunk?.deltas()? {
            said.text.push_str(&delta.text);
            said.tokens.extend(
                delta
                    .tokens
                    .iter()
                    .filter_map(|token| Some((token.bytes.to_vec(), token.logprobs.as_ref()?.logprob))),
            );
            said.vectors.extend(delta.embedding.clone());
            said.finish = delta.finish_reason.clone().or(said.finish);
            said.usage = delta.usage.or(said.usage);
        }
    }
    Ok(said)
}

fn in_ollamas(path: &'static str, body: &Value) -> Input {
    let body = body.to_string();
    let task = Ollama::task(path, body.as_bytes()).expect("a good body");
    let json = "application/json".parse().expect("a content type");
    Input::from_wire(task, Wire::new(Ollama::DIALECT, path, json, body))
}

fn in_openais(task: Task, body: &Value) -> Input {
    let path = OpenAi::path(&task).expect("a path");
    let json = "application/json".parse().expect("a content type");
    Input::from_wire(task, Wire::new(OpenAi::DIALECT, path, json, body.to_string()))
}

/// The same request, rendered in Ollama's format before it is sent.
fn rendered(input: &Input) -> Result<Input, Error> {
    let wire = input.wire_for(Ollama::DIALECT)?;
    Ok(Input::from_wire(input.task().clone(), wire))
}

struct Ways {
    /// Sends what comes in Ollama's format as it is.
    as_it_came: OpenAiModule,
    /// Sends everything in OpenAI's.
    translated: OpenAiModule,
    _ollama: ollama::Ollama,
}

impl Ways {
    fn open() -> Self {
        let ollama = ollama::start("self-contained");
        let reach = || OpenAiModule::builder(ollama.url());
        Self {
            as_it_came: reach().speaks(Ollama::DIALECT).build().expect("an address"),
            translated: reach().build().expect("an address"),
            _ollama: ollama,
        }
    }

    async fn agree(&self, path: &'static str, body: Value) -> Said {
        let input = in_ollamas(path, &body);
        let direct = said(
            self.as_it_came
                .run_inference(input.clone())
                .await
                .expect("an answer"),
        )
        .await;
        let through = said(self.translated.run_inference(input).await.expect("an answer")).await;
        let (direct, through) = (direct.expect("a reply"), through.expect("a reply"));
        assert_eq!(through, direct, "{body}");
        direct
    }

    async fn agree_on_openais(&self, task: Task, body: Value) -> Said {
        let input = in_openais(task, &body);
        let through = rendered(&input).expect("what both can say");
        let through = said(self.as_it_came.run_inference(through).await.expect("an answer")).await;
        let direct = said(self.translated.run_inference(input).await.expect("an answer")).await;
        let (direct, through) = (direct.expect("a reply"), through.expect("a reply"));
        assert_eq!(through, direct, "{body}");
        direct
    }
}

#[tokio::test]
async fn a_real_ollama_answers_the_same_in_both_formats() {
    let ways = Ways::open();
    let greedy = json!({"num_predict": 6, "temperature": 0, "top_p": 0.9, "seed": 7});
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}]);
    for stream in [true, false] {
        let body = json!({
            "model": MODEL, "messages": messages, "options": greedy, "stream": stream, "logprobs": true,
        });
        let answer = ways.agree("/api/chat", body).await;
        assert!(!answer.text.is_empty() && !answer.tokens.is_empty());
        assert!(answer.usage.is_some_and(|usage| usage.output_tokens <= 6));
    }
    let prompt =
        json!({"model": MODEL, "system": "Be brief.", "prompt": "Name a colour.", "options": greedy});
    ways.agree("/api/generate", prompt).await;
    let shaped = json!({
        "model": MODEL, "messages": messages, "options": greedy, "stream": false,
        "format": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    });
    assert!(
        ways.agree("/api/chat", shaped)
            .await
            .text
            .trim_start()
            .starts_with('{')
    );
    let vectors = ways
        .agree("/api/embed", json!({"model": MODEL, "input": ["a", "b"]}))
        .await;
    assert_eq!(vectors.vectors.len(), 2);

    let body = json!({
        "model": MODEL, "messages": messages, "max_tokens": 6, "temperature": 0, "top_p": 0.9, "seed": 7,
        "stream": true, "stream_options": {"include_usage": true}, "user": "u", "stop": ["."],
    });
    ways.agree_on_openais(Task::CHAT, body).await;
}

#[tokio::test]
async fn a_real_ollamas_refusals_mean_the_same_in_both_formats() {
    let ways = Ways::open();
    let ask = |model: &str, field: &str, value: Value| {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        in_ollamas("/api/chat", &body)
    };
    for module in [&ways.as_it_came, &ways.translated] {
        let unknown = module.run_inference(ask("nobody", "stream", json!(false))).await;
        let unknown = unknown.expect_err("nobody has it");
        assert_eq!(
            (unknown.kind(), unknown.code()),
            (ErrorKind::NotFound, "model_not_found")
        );
        // The model has no template for tools.
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]);
        let refused = module.run_inference(ask(MODEL, "tools", tools)).await;
        let refused = refused.expect_err("it takes no tools");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        assert!(refused.message().contains("does not support tools"), "{refused}");
    }
}
