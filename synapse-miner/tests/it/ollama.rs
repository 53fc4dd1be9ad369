//! What answers where an Ollama should, and is none, or is too old. Fakes, since no such server can be had as a part.

use serde_json::json;
use synapse_core::{Error, ErrorKind, InferenceModule as _};
use synapse_miner::ollama::{Models, OllamaModule};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A server that gives each path its reply, and says 404 to the rest.
async fn fake(replies: Vec<(&'static str, u16, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.is_ok_and(|read| read == 0) {
                    break;
                }
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = replies.iter().find(|(known, ..)| *known == path);
            let (status, body) =
                found.map_or((404, "404 page not found"), |(_, status, body)| (*status, body));
            let length = body.len();
            let reply =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

async fn refused(url: &str) -> Error {
    let error = Models::connect(url).await.expect_err("it is no Ollama for us");
    let of_module = OllamaModule::connect(url)
        .await
        .expect_err("it is no Ollama for us");
    assert_eq!(of_module.code(), error.code());
    error
}

fn version(version: &str) -> (&'static str, u16, String) {
    ("/api/version", 200, json!({"version": version}).to_string())
}

#[tokio::test]
async fn an_ollama_that_is_too_old_is_refused_with_both_versions() {
    for old in ["0.12.10", "0.5.7", "0.12.10-rc1"] {
        let error = refused(&fake(vec![version(old)]).await).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unsupported, "ollama_too_old"),
            "{old}"
        );
        assert!(
            error.message().contains(old) && error.message().contains("0.12.11"),
            "{error}"
        );
        assert_eq!(error.hint(), Some("update Ollama and start it again"));
    }
    for new in ["0.12.11", "0.12.11-rc0", "v0.13.0", "1.0.0"] {
        let models = Models::connect(&fake(vec![version(new)]).await).await;
        assert!(models.is_ok(), "{new}: {models:?}");
    }
}

#[tokio::test]
async fn a_build_without_a_version_shows_by_what_it_knows() {
    let probe = |status, error: &str| ("/api/generate", status, json!({"error": error}).to_string());
    let new = fake(vec![
        version("0.0.0"),
        probe(400, "top_logprobs must be between 0 and 20"),
    ])
    .await;
    let models = Models::connect(&new).await.expect("it is new enough");
    assert_eq!(models.version().await.expect("it still is"), None);
    let old = fake(vec![
        version("0.0.0"),
        probe(404, "model 'synapse-probe' not found"),
    ])
    .await;
    assert_eq!(refused(&old).await.code(), "ollama_too_old");
}

#[tokio::test]
async fn a_server_that_is_not_ollama_is_named_with_the_remedy() {
    let page = "<html><title>Welcome to nginx!</title></html>".to_owned();
    let nginx = fake(vec![("/", 200, page.clone()), ("/api/version", 200, page)]).await;
    let openai = fake(vec![("/v1/models", 200, json!({"data": []}).to_string())]).await;
    let other = fake(vec![(
        "/api/version",
        200,
        json!({"version": "the best"}).to_string(),
    )])
    .await;
    for url in [nginx, openai, other] {
        let error = refused(&url).await;
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "not_ollama")
        );
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("http://127.0.0.1:11434")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_says_how_to_start_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = refused(&url).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "ollama_unreachable")
    );
    assert!(error.to_string().contains("`ollama serve`"), "{error}");
    assert_eq!(
        Models::connect("not an address")
            .await
            .expect_err("no address")
            .kind(),
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = format!("{{\"models\": [\"{}\"]}}", "x".repeat(9 << 20));
    let url = fake(vec![version("0.13.0"), ("/api/tags", 200, endless)]).await;
    let models = Models::connect(&url).await.expect("a version");
    assert_eq!(
        models.list().await.expect_err("too long").code(),
        "reply_too_large"
    );

    let line = "x".repeat(1 << 20);
    let url = fake(vec![version("0.13.0"), ("/api/pull", 200, line)]).await;
    let models = Models::connect(&url).await.expect("a version");
    assert_eq!(
        models.pull("any").finish().await.expect_err("too long").code(),
        "line_too_large"
    );
    // And one that ends too early is not taken for a success.
    let short = json!({"status": "pulling manifest"}).to_string();
    let url = fake(vec![version("0.13.0"), ("/api/pull", 200, short)]).await;
    let models = Models::connect(&url).await.expect("a version");
    assert_eq!(
        models.pull("any").finish().await.expect_err("cut short").code(),
        "truncated_reply"
    );
}

/// What an Ollama could say of a model that is served elsewhere.
#[tokio::test]
async fn a_model_whose_work_is_done_elsewhere_is_not_served_unless_named() {
    let tags =
        json!({"models": [{"name": "big:cloud", "remote_host": "https://ollama.com:443"}]}).to_string();
    let shown = json!({"capabilities": ["completion"], "parameters": "num_ctx 4096"}).to_string();
    let url = fake(vec![
        version("0.17.4"),
        ("/api/tags", 200, tags),
        ("/api/ps", 200, json!({"models": []}).to_string()),
        ("/api/show", 200, shown),
        ("/v1/models", 200, json!({"data": []}).to_string()),
    ])
    .await;
    let module = OllamaModule::connect(&url).await.expect("an Ollama");
    assert!(module.get_capabilities().models.is_empty());
    assert!(!module.health_check().await.expect("health").is_serving());
    let module = OllamaModule::builder(&url)
        .model("big:cloud")
        .build()
        .expect("an address");
    module.initialize().await.expect("an Ollama");
    assert_eq!(module.get_capabilities().models[0].id, "big:cloud");
}
