//! Who comes in with a key, and what the others are told.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use synapse_core::{
    Allowance, ApiKey, Body, Caller, Delta, FinishReason, Input, ModelInfo, ModuleCapabilities, Output,
    WallClock,
    testkit::{Echo, ManualClock, Scripted},
};
use synapse_http::{
    Api, Server,
    api_keys::{ApiKeyStore, ApiKeysLayer, NewApiKey},
    router,
};

use super::server::{Reply, Running, chat, start, start_with};

const CHAT: &str = "/v1/chat/completions";

/// A directory of keys, and a gateway that asks for them.
pub(crate) struct Gateway {
    pub(crate) store: ApiKeyStore,
    pub(crate) server: Running,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::of(router(Echo::new()), None).await
    }

    async fn of(api: Api, clock: Option<Arc<ManualClock>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("api-keys");
        let mut store = ApiKeyStore::open(&place).unwrap();
        let mut layer = ApiKeysLayer::open(&place).unwrap();
        if let Some(clock) = clock {
            store = store.clock(clock.clone());
            layer = layer.clock(clock);
        }
        let server = start(api.layer(layer)).await;
        Self {
            store,
            server,
            _folder: folder,
        }
    }

    /// A key, and the header that shows it.
    pub(crate) fn key(&self, new: NewApiKey) -> (synapse_core::KeyId, String) {
        let (key, secret) = self.store.create(new).unwrap();
        (key.id().clone(), bearer(secret.reveal()))
    }

    pub(crate) async fn ask(&self, headers: &str) -> Reply {
        self.server.post_with(CHAT, headers, chat(false).as_bytes()).await
    }

    /// What became of a request with these headers.
    pub(crate) async fn heard(&self, headers: &str) -> (u16, String) {
        let reply = self.ask(headers).await;
        match reply.status {
            200 => (200, String::new()),
            status => (status, reply.code()),
        }
    }
}

pub(crate) fn bearer(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn each_way_to_be_refused_has_its_code() {
    let clock = Arc::new(ManualClock::at(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    ));
    let gateway = Gateway::of(router(Echo::new()), Some(clock.clone())).await;
    let (_, good) = gateway.key(NewApiKey::for_caller("alice"));
    let soon = clock.now() + Duration::from_secs(3600);
    let (_, short) = gateway.key(NewApiKey::for_caller("alice").expires(soon));
    let (id, gone) = gateway.key(NewApiKey::for_caller("bob"));
    let (_, other) = gateway.key(NewApiKey::for_caller("carol").models(["smollm2", "gemma"]));
    gateway.store.revoke(&id).unwrap();
    let (text, unknown) = (good.trim_end(), bearer(&format!("sk-syn-{}", "0".repeat(64))));

    assert_eq!(gateway.heard(&good).await, refused(200, ""));
    assert_eq!(gateway.heard(&short).await, refused(200, ""));
    for (headers, code) in [
        (String::new(), "missing_api_key"),
        ("authorization: Bearer \r\n".to_owned(), "missing_api_key"),
        ("authorization: Basic YTpi\r\n".to_owned(), "invalid_api_key"),
        (bearer("sk-proj-something-of-openai"), "invalid_api_key"),
        (bearer("ünicode"), "invalid_api_key"),
        (format!("{text}0\r\n"), "invalid_api_key"),
        (text[..text.len() - 1].to_owned() + "\r\n", "invalid_api_key"),
        (text.to_uppercase() + "\r\n", "invalid_api_key"),
        (good.clone() + &good, "invalid_api_key"),
        (unknown, "invalid_api_key"),
        (gone, "revoked_api_key"),
    ] {
        let reply = gateway.ask(&headers).await;
        assert_eq!((reply.status, reply.code()), refused(401, code), "{headers}");
        assert_eq!(reply.header("www-authenticate"), Some("bearer"));
        assert_eq!(reply.json()["error"]["type"], "authentication_error");
        assert!(!reply.text().contains("sk-syn-0"), "{}", reply.text());
    }
    let reply = gateway.ask(&other).await;
    assert_eq!((reply.status, reply.code()), refused(403, "model_not_allowed"));
    let error = &reply.json()["error"];
    assert_eq!(
        (&error["param"], &error["type"]),
        (&"model".into(), &"permission_error".into())
    );
    let said = error["message"].as_str().unwrap();
    assert!(said.contains("smollm2") && said.contains("gemma"), "{said}");

    clock.advance(Duration::from_secs(3599));
    assert_eq!(gateway.heard(&short).await, refused(200, ""));
    clock.advance(Duration::from_secs(1));
    assert_eq!(gateway.heard(&short).await, refused(401, "expired_api_key"));
    assert_eq!(gateway.heard(&good).await, refused(200, ""));
}

#[tokio::test]
async fn a_key_of_a_megabyte_is_refused_by_whoever_meets_it_first() {
    let gateway = Gateway::start().await;
    let huge = bearer(&format!("sk-syn-{}", "a".repeat(1 << 20)));
    assert_eq!(gateway.ask(&huge).await.status, 431, "a head has a limit");

    let folder = tempfile::tempdir().unwrap();
    let api = router(Echo::new()).layer(ApiKeysLayer::open(folder.path()).unwrap());
    let roomy = start_with(api, |server| server.max_header_bytes(4 << 20)).await;
    let reply = roomy.post_with(CHAT, &huge, chat(false).as_bytes()).await;
    assert_eq!((reply.status, reply.code()), refused(401, "invalid_api_key"));
    assert!(reply.raw.len() < 1024);
}

#[tokio::test]
async fn the_module_hears_whose_key_it_is_and_nothing_of_the_key() {
    let kept: Arc<Mutex<Option<Input>>> = Arc::default();
    let keep = kept.clone();
    let module = Scripted::new(move |input| {
        *keep.lock().unwrap() = Some(input);
        async {
            Ok(Output::new(Body::from_deltas([Delta::finish(
                FinishReason::Stop,
            )])))
        }
    });
    let gateway = Gateway::of(router(module), None).await;
    let mut allowance = Allowance::default();
    allowance.tokens_per_day = Some(100_000);
    let new = NewApiKey::for_caller("alice")
        .models(["echo"])
        .allowance(allowance.clone());
    let (id, header) = gateway.key(new);
    assert_eq!(gateway.ask(&header).await.status, 200);
    let input = kept.lock().unwrap().take().unwrap();
    let beside = input.extensions();
    assert_eq!(beside.get::<Caller>().unwrap().id().as_str(), "alice");
    assert_eq!(beside.get::<ApiKey>(), Some(&ApiKey::new(id, allowance)));
    assert!(input.wire().unwrap().headers().get("authorization").is_none());
    assert!(!format!("{input:?}").contains("sk-syn-"));
}

#[tokio::test]
async fn only_the_models_of_a_key_are_listed() {
    let three = || {
        let models = ["a", "b:latest", "c"].map(ModelInfo::new).into_iter();
        models.fold(ModuleCapabilities::new("three"), ModuleCapabilities::with_model)
    };
    let module = Scripted::new(|_| async { Ok(Output::new(Body::from_deltas([]))) });
    let gateway = Gateway::of(router(module.with_capabilities(three())), None).await;
    let (_, some) = gateway.key(NewApiKey::for_caller("alice").models(["a", "b"]));
    let (_, all) = gateway.key(NewApiKey::for_caller("alice"));
    let get = async |path: &str, header: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
        gateway.server.exchange(head).await
    };
    for (header, models) in [(&some, vec!["a", "b:latest"]), (&all, vec!["a", "b:latest", "c"])] {
        for (path, list, name) in [
            ("/v1/models", "data", "id"),
            ("/api/tags", "models", "name"),
            ("/api/ps", "models", "name"),
            ("/synapse/v1/capabilities", "models", "id"),
        ] {
            let reply = get(path, header).await.json();
            let listed: Vec<_> = reply[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|model| model[name].as_str().unwrap())
                .collect();
            assert_eq!(listed, models, "{path}");
        }
    }
    for (id, header, status) in [("a", &some, 200), ("c", &some, 404), ("c", &all, 200)] {
        assert_eq!(
            get(&format!("/v1/models/{id}"), header).await.status,
            status,
            "{id}"
        );
        let shown = format!("{{\"model\":\"{id}\"}}");
        let reply = gateway
            .server
            .post_with("/api/show", header, shown.as_bytes())
            .await;
        assert_eq!(reply.status, status, "{id}");
    }
    assert_eq!(get("/v1/models", "").await.code(), "missing_api_key");
    assert_eq!(get("/nowhere", "").await.code(), "missing_api_key");
    let ollamas = get("/api/tags", "").await;
    assert_eq!(
        (ollamas.status, &ollamas.json()["synapse"]["code"]),
        (401, &"missing_api_key".into())
    );
    for open in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(get(open, "").await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn a_model_is_refused_in_the_format_in_which_it_was_asked() {
    let gateway = Gateway::start().await;
    let (_, header) = gateway.key(NewApiKey::for_caller("alice").models(["other"]));
    for path in ["/api/chat", "/api/generate", "/api/embed"] {
        let body = "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"x\",\"input\":\"x\"}";
        let reply = gateway.server.post_with(path, &header, body.as_bytes()).await;
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
        assert_eq!(reply.json()["synapse"]["code"], "model_not_allowed");
        assert!(reply.json()["error"].as_str().unwrap().contains("other"));
    }
    let reply = gateway.ask(&header).await;
    assert_eq!((reply.status, reply.code()), refused(403, "model_not_allowed"));
    let streamed = gateway
        .server
        .post_with(CHAT, &header, chat(true).as_bytes())
        .await;
    assert_eq!(
        (streamed.status, streamed.code()),
        refused(403, "model_not_allowed")
    );
}

#[tokio::test]
async fn on_loopback_without_keys_one_that_is_sent_is_ignored() {
    let server = start(router(Echo::new())).await;
    for header in [
        "",
        "authorization: Bearer sk-anything\r\n",
        "authorization: Bearer \r\n",
    ] {
        assert_eq!(
            server
                .post_with(CHAT, header, chat(false).as_bytes())
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn elsewhere_without_keys_a_gateway_starts_only_where_its_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let keyed = ApiKeysLayer::open(folder.path()).unwrap();
    type Tune = fn(Server) -> Server;
    let (usual, allowed): (Tune, Tune) = (|server| server, |server| server.allow_without_keys(true));
    let open = || router(Echo::new());
    for (address, tune, api, code) in [
        ("0.0.0.0:0", usual, open(), Some("keys_missing")),
        ("0.0.0.0:0", allowed, open(), None),
        ("0.0.0.0:0", usual, open().layer(keyed), None),
        ("127.0.0.1:0", usual, open(), None),
        ("0.0.0.0:0", usual, axum::Router::new().into(), None),
        ("0.0.0.0:0", usual, open().metrics_router().into(), None),
    ] {
        let server = tune(Server::bind(address).await.unwrap()).shutdown(async {});
        let refused = server.serve(api).await.err();
        assert_eq!(refused.as_ref().map(synapse_core::Error::code), code, "{address}");
        assert!(refused.is_none_or(|error| error.hint().is_some()));
    }
}
