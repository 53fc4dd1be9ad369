//! Ollama's format over hops: as it came where the other side takes it, else in OpenAI's.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use http::HeaderValue;
use synapse_core::{
    Body, Bytes, Chunk, ErrorKind, Framing, Head, InferenceModule, Input, ModelInfo, ModuleCapabilities,
    Output, Retry, Task,
    testkit::{Echo, Scripted},
};
use synapse_http::{Api, Ollama, OpenAiModule, router};

use super::{NDJSON, chat, input};
use crate::server::{Running, start};

const LINE: &str = "{\"message\":{\"role\":\"assistant\",\"content\":\"Red\"},\"done\":false}\n";
const END: &str =
    "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n";

/// Keeps what it was asked, and answers a control chunk and these lines.
fn engine(speaks: &[&str]) -> (Scripted, Arc<Mutex<Option<Input>>>) {
    let kept: Arc<Mutex<Option<Input>>> = Arc::default();
    let keep = kept.clone();
    let mut capabilities = ModuleCapabilities::new("engine")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("m"))
        .with_streaming();
    capabilities.dialects = speaks.iter().map(|name| (*name).to_owned()).collect();
    let module = Scripted::new(move |input| {
        *keep.lock().unwrap() = Some(input);
        async {
            let line = |bytes: &'static str| {
                Chunk::read(
                    Bytes::from_static(bytes.as_bytes()),
                    Ollama::DIALECT,
                    Framing::Lines,
                )
                .map(Option::unwrap)
            };
            let chunks = [Ok(Chunk::control("commitment", "c")), line(LINE), line(END)];
            let head = Head::default().with_content_type(HeaderValue::from_static(NDJSON));
            Ok(Output::new(Body::new(futures_util::stream::iter(chunks))).with_head(head))
        }
    })
    .with_capabilities(capabilities);
    (module, kept)
}

async fn reach(running: &Running) -> OpenAiModule {
    OpenAiModule::connect(&format!("http://{}", running.address))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_miner_that_takes_ollamas_format_gets_it_as_it_came() {
    let (module, kept) = engine(&["ollama"]);
    let miner = start(Api::builder(module).controls(true)).await;
    let body = chat(r#", "options" : {"num_ctx": 9} "#);
    let output = reach(&miner)
        .await
        .run_inference(input("/api/chat", body.clone()).unwrap())
        .await
        .unwrap();
    let chunks: Vec<Chunk> = output.body.map(Result::unwrap).collect().await;
    assert_eq!(
        kept.lock().unwrap().as_ref().unwrap().wire().unwrap().body(),
        &body
    );
    assert_eq!(chunks[0].as_control().unwrap(), ("commitment", &Bytes::from("c")));
    let said: Vec<&Bytes> = chunks.iter().filter_map(Chunk::wire).collect();
    assert_eq!(said, [LINE, END]);
    assert!(chunks[2].is_last());
}

#[tokio::test]
async fn a_miner_that_does_not_gets_openais_and_the_client_hears_its_own() {
    let (module, kept) = engine(&[]);
    let miner = start(router(module)).await;
    let gateway = start(router(reach(&miner).await)).await;
    let reply = gateway
        .post("/api/chat", &chat(r#","options":{"num_predict":5}"#))
        .await;
    let wire = kept.lock().unwrap().take().unwrap().wire().unwrap().clone();
    assert_eq!(
        (wire.dialect().name(), wire.path()),
        ("openai", "/v1/chat/completions")
    );
    let text = reply.text();
    assert!(
        text.contains("\"content\":\"Red\"") && text.contains("\"done\":true"),
        "{text}"
    );
    let refused = gateway
        .post("/api/chat", &chat(r#","options":{"mirostat":2}"#))
        .await;
    assert_eq!(
        (refused.status, &refused.json()["synapse"]["param"]),
        (400, &"options.mirostat".into())
    );
}

#[tokio::test]
async fn refusals_in_ollamas_form_keep_their_meaning_over_hops() {
    let miner = start(router(Echo::new())).await;
    let reached = OpenAiModule::builder(format!("http://{}", miner.address)).speaks(Ollama::DIALECT);
    let error = reached
        .build()
        .unwrap()
        .run_inference(input("/api/chat", chat("")).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (ErrorKind::NotFound, "model_not_found", Retry::Never)
    );
    assert_eq!(error.param(), Some("model"));
}

#[tokio::test]
async fn an_unknown_model_of_ollamas_own_is_known_for_what_it_is() {
    let answer = |body: &'static str| {
        axum::Router::new().fallback(move || async move {
            (
                http::StatusCode::NOT_FOUND,
                [("content-type", "application/json")],
                body,
            )
        })
    };
    for body in [
        r#"{"error":"model 'm' not found"}"#,
        r#"{"error":{"message":"model 'm' not found","type":"api_error","param":null,"code":null}}"#,
        r#"{"error":"model \"m\" not found, try pulling it first"}"#,
    ] {
        let ollama = start(Api::from(answer(body))).await;
        let module = OpenAiModule::builder(format!("http://{}", ollama.address)).speaks(Ollama::DIALECT);
        let error = module
            .build()
            .unwrap()
            .run_inference(input("/api/chat", chat("")).unwrap())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.code(), error.param()),
            (ErrorKind::NotFound, "model_not_found", Some("model"))
        );
    }
}
