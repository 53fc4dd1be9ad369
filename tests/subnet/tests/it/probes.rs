//! What a miner sees of a probe, next to a user's request, through the validator program's stack.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use subnet_tests::{Upstream, post, serve};
use synapse_chain::LocalChain;
use synapse_core::{
    Endpoint, InferenceModule, ModuleExt, Registration, Role, Stake, Subnet, SubnetId, SubnetParams,
    keys::{Keypair, Scheme, Signer},
    layers::DeadlineLayer,
};
use synapse_http::SignedHttp;
use synapse_validator::{
    EvidenceLog, MinerPool, Quota, RateLimitLayer, TokenCountLayer, Tokenizers, TraceLayer, ValidatorNode,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tower::ServiceBuilder;

const REPLY: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    r#"data: {"id":"x","object":"chat.completion.chunk","created":0,"model":"raw","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n",
);
const DEADLINE: Duration = Duration::from_secs(600);

/// The names of a head's headers in their order, and the value of one of them.
fn names(head: &str) -> Vec<String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.to_owned()).collect()
}

fn value<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let found = lines.find(|(is, _)| is.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim()).unwrap()
}

#[tokio::test]
async fn a_probe_has_the_headers_of_a_users_request() {
    let upstream = Upstream::start().await.unwrap();
    upstream.answer([Bytes::from_static(REPLY.as_bytes())]);
    let chain = LocalChain::in_memory();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let miner = Keypair::generate(Scheme::Sr25519).unwrap().address().clone();
    let hotkey = Arc::new(Keypair::generate(Scheme::Sr25519).unwrap());
    let validator = hotkey.address().clone();
    for (node, role) in [(&miner, Role::Miner), (&validator, Role::Validator)] {
        chain.fund(node, Stake(100)).unwrap();
        let registration = Registration::new(node.as_str(), role, Stake(10));
        subnet.register(registration).await.unwrap();
    }
    let endpoint = Endpoint::http(&upstream.url()).unwrap();
    subnet.serve(&miner, endpoint.into()).await.unwrap();

    // As examples/validator has it.
    let evidence = EvidenceLog::new();
    let connect = SignedHttp::new(hotkey).with(|builder| builder.allow_loopback(true).head_timeout(DEADLINE));
    let pool = MinerPool::watch(subnet.directory(), connect)
        .first_content_within(DEADLINE)
        .witness(evidence.clone());
    let pool = Arc::new(pool);
    let gateway = pool.clone().with(
        ServiceBuilder::new()
            .layer(TraceLayer::new())
            .layer(TokenCountLayer::new(Tokenizers::new()))
            .layer(RateLimitLayer::per_caller(Quota::requests_per_minute(1_000)))
            .layer(DeadlineLayer::new(DEADLINE)),
    );
    let node = ValidatorNode::new(subnet, validator)
        .pool(pool.clone())
        .evidence(evidence)
        .probe_every(Duration::from_millis(100));
    let (stop, stopped) = oneshot::channel::<()>();
    let node = tokio::spawn(node.run(async {
        let _ = stopped.await;
    }));
    let some = async {
        while upstream.heads().len() < 12 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), some)
        .await
        .expect("the miner is probed");
    drop(stop);
    node.await.unwrap().unwrap();
    let probes = upstream.heads();

    let door = serve(synapse_http::router(gateway)).await.unwrap();
    let ask = r#"{"model":"raw","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    for _ in 0..3 {
        let reply = post(door.address(), "/v1/chat/completions", ask).await.unwrap();
        assert_eq!(reply.status, 200);
    }
    let users = upstream.heads().split_off(probes.len());
    assert_eq!(users.len(), 3);

    let expect = names(&users[0]);
    for name in ["x-request-id", "x-synapse-deadline-ms"] {
        assert!(expect.iter().any(|is| is == name), "{expect:?}");
    }
    let mut ids = BTreeSet::new();
    for head in probes.iter().chain(&users) {
        assert_eq!(names(head), expect, "{head}");
        let first = head.lines().next().unwrap();
        assert!(first == "POST /v1/chat/completions HTTP/1.1", "{first}");
        let left: u64 = value(head, "x-synapse-deadline-ms").parse().unwrap();
        assert!((590_000..600_000).contains(&left), "{left}");
        let id = value(head, "x-request-id");
        // Of one process, so nobody can tell by it whether it came from the gateway's door.
        assert_eq!(
            (id.len(), &id[..16]),
            (32, &value(&users[0], "x-request-id")[..16])
        );
        assert!(ids.insert(id), "{id} comes twice");
        for same in ["content-type", "host", "accept", "user-agent"] {
            if expect.iter().any(|is| is == same) {
                assert_eq!(value(head, same), value(&users[0], same));
            }
        }
    }
    door.stop().await.unwrap();
    pool.shutdown().await.unwrap();
}
