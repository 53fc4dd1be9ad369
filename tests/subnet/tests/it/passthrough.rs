//! What nobody edited arrives byte for byte, both ways, through a gateway and a miner.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use subnet_tests::{Gateway, Reply, Serving, Upstream, post, serve};
use synapse_http::OpenAiModule;
use tokio::runtime::Runtime;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const ASK: &str = r#"{"model":"raw","messages":[{"role":"user","content":"hi"}],"stream":true}"#;

/// upstream ← miner ← gateway ← client, each on a socket.
struct Chain {
    upstream: Upstream,
    gateway: Gateway,
    door: Serving,
}

impl Chain {
    async fn start() -> Self {
        let upstream = Upstream::start().await.unwrap();
        let module = OpenAiModule::builder(upstream.url()).build().unwrap();
        let miner = serve(synapse_http::router(module)).await.unwrap();
        let gateway = Gateway::over(vec![miner]).await.unwrap();
        let door = serve(synapse_http::router(gateway.pool())).await.unwrap();
        Self {
            upstream,
            gateway,
            door,
        }
    }

    async fn ask(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        post(self.door.address(), path, body).await.unwrap()
    }

    async fn stop(self) {
        self.door.stop().await.unwrap();
        self.gateway.stop().await.unwrap();
    }
}

fn event(text: &str) -> String {
    format!(
        r#"data: {}"#,
        json!({"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "raw", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
    )
}

/// Cuts `bytes` at these places.
fn split(bytes: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len().max(1)).collect();
    cuts.sort_unstable();
    let (mut writes, mut from) = (Vec::new(), 0);
    for cut in cuts {
        writes.push(Bytes::copy_from_slice(&bytes[from..cut]));
        from = cut;
    }
    writes.push(Bytes::copy_from_slice(&bytes[from..]));
    writes
}

/// A stream of events in one style of line ending, and what of it reaches the client: everything but comments.
fn streams() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let block = prop_oneof![
        4 => "\\PC{0,12}".prop_map(|text| (event(&text), true)),
        1 => "[a-z]{1,6}".prop_map(|name| (format!("event: {name}\n{}", event("e")), true)),
        1 => Just((format!("id: 7\nretry: 10\n{}", event("id")), true)),
        1 => Just((format!(": within\n{}", event("c")), true)),
        1 => Just((": alone".to_owned(), false)),
    ];
    let ending = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (prop::collection::vec(block, 1..12), ending, any::<bool>()).prop_map(|(blocks, ending, blank)| {
        let (mut sent, mut seen) = (String::new(), String::new());
        for (block, shows) in blocks {
            let text = format!("{block}\n\n").replace('\n', ending);
            sent.push_str(&text);
            if shows {
                seen.push_str(&text);
            }
        }
        let last = format!("data: [DONE]{}", if blank { "\n\n" } else { "" }).replace('\n', ending);
        (
            format!("{sent}{last}").into_bytes(),
            format!("{seen}{last}").into_bytes(),
        )
    })
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A request with fields that nobody here knows, spaced oddly.
fn requests() -> impl Strategy<Value = String> {
    let unknown = prop::collection::btree_map("x_[a-z]{1,8}", anything(), 0..4);
    (
        "\\PC{1,20}",
        unknown,
        prop::sample::select(vec!["", " ", "\n  ", "\t"]),
        anything(),
    )
        .prop_map(|(text, unknown, space, metadata)| {
            let mut fields = vec![
                r#""model":"raw""#.to_owned(),
                format!(
                    r#""messages":{space}[{{"role":"user","content":{}}}]"#,
                    Value::from(text)
                ),
                r#""stream":true"#.to_owned(),
                format!(r#""metadata":{space}{{"Model":{metadata}}}"#),
            ];
            fields.extend(
                unknown
                    .into_iter()
                    .map(|(name, value)| format!("{}:{space}{value}", Value::from(name))),
            );
            let at = fields.len() / 2;
            fields.swap(0, at);
            format!("{{{space}{}{space}}}", fields.join(&format!(",{space}")))
        })
}

#[test]
fn the_clients_events_equal_the_miners_and_the_request_arrives_as_it_was_sent() {
    let runtime = Runtime::new().unwrap();
    let chain = runtime.block_on(Chain::start());
    let cases = (
        streams(),
        requests(),
        prop::collection::vec(any::<usize>(), 0..24),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 96,
        ..ProptestConfig::default()
    });
    let result = runner.run(&cases, |((sent, seen), request, cuts)| {
        let mut writes = vec![Bytes::from_static(HEAD)];
        writes.extend(split(&sent, &cuts));
        chain.upstream.answer(writes);
        let reply = runtime.block_on(chain.ask("/v1/chat/completions", request.clone()));
        prop_assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        prop_assert!(!reply.broken);
        prop_assert_eq!(
            String::from_utf8_lossy(&reply.body),
            String::from_utf8_lossy(&seen)
        );
        prop_assert_eq!(chain.upstream.received(), request.as_bytes());
        Ok(())
    });
    runtime.block_on(chain.stop());
    result.unwrap();
}

#[test]
fn every_single_cut_and_single_bytes_give_the_same_events() {
    let runtime = Runtime::new().unwrap();
    let chain = runtime.block_on(Chain::start());
    let stream = format!(
        "{}\r\n\r\n: ping\r\n\r\n{}\n\n{}\r\rdata: [DONE]\n\n",
        event("a"),
        event("é€"),
        event("c")
    );
    let seen = stream.replace(": ping\r\n\r\n", "");
    let ask = |writes: Vec<Bytes>| {
        chain.upstream.answer(writes);
        let reply = runtime.block_on(chain.ask("/v1/chat/completions", ASK));
        assert_eq!((reply.status.as_u16(), reply.broken), (200, false));
        assert_eq!(String::from_utf8_lossy(&reply.body), seen);
    };
    for cut in 0..stream.len() {
        ask([vec![Bytes::from_static(HEAD)], split(stream.as_bytes(), &[cut])].concat());
    }
    let bytes = [HEAD, stream.as_bytes()].concat();
    ask(bytes
        .iter()
        .map(|byte| Bytes::copy_from_slice(&[*byte]))
        .collect());
    runtime.block_on(chain.stop());
}

#[test]
fn a_whole_reply_arrives_as_it_was_sent() {
    let runtime = Runtime::new().unwrap();
    let chain = runtime.block_on(Chain::start());
    let body = "{ \"id\": \"x\",\n \"object\":\"chat.completion\", \"unknown\": [1, 2.50, \"\\u00e9\"], \"choices\": [] }";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    chain.upstream.answer([Bytes::from(head), Bytes::from(body)]);
    let reply = runtime.block_on(chain.ask("/v1/chat/completions", ASK.replace(",\"stream\":true", "")));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(reply.headers["x-synapse-miner"], "miner-1");
    assert_eq!(reply.body, body);
    runtime.block_on(chain.stop());
}
