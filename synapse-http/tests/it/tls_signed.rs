//! Signed requests over TLS, and no signed API without it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use synapse_core::{
    BlockNumber, Connect, Directory, Endpoint, InferenceModule, Member, NodeId, Role, Watch,
    keys::Signer,
    testkit::{Echo, ManualClock},
};
use synapse_http::{Api, Server, SignedHttp, Verifier, router, tls::NodeTls};

use super::{
    server::start_with,
    tls_hop::{Between, ask, key, node, text},
};

const SIGNED: &str = "signed and hidden";

/// Alice validates.
fn members() -> Watch<Directory> {
    let alice = Member::new(key("//Alice").address().clone(), Role::Validator);
    Watch::constant(Directory::new([alice], BlockNumber(1)))
}

/// An API that demands signatures, and has been up for long enough to take them.
fn api_of(node: &NodeId) -> (Api, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(SystemTime::now()));
    let verifier = Verifier::new(node.clone(), members()).clock(clock.clone());
    clock.advance(Duration::from_secs(10));
    (router(Echo::new()).signed(verifier), clock)
}

fn miner(node: &NodeId, url: &str) -> Member {
    Member::new(node.clone(), Role::Miner).with_endpoint(Endpoint::http(url).unwrap())
}

#[tokio::test]
async fn a_signed_request_arrives_over_tls_and_nowhere_else() {
    let (charlie, tls) = node("//Charlie").await;
    let (api, clock) = api_of(&charlie);
    let running = start_with(api, |server| server.tls(tls)).await;
    let alice = SignedHttp::new(key("//Alice"))
        .with(|builder| builder.allow_loopback(true).wall_clock(clock.clone()));
    let forwarder = Between::recording(running.address).await;
    let url = format!("https://{}", forwarder.address);
    let module = alice.connect(&miner(&charlie, &url)).unwrap();
    for stream in [true, false] {
        let output = module.run_inference(ask(SIGNED, stream)).await.unwrap();
        assert_eq!(text(output).await.unwrap(), SIGNED);
    }
    assert!(!forwarder.has_seen("signed and") && !forwarder.has_seen("bt-auth"));

    let (mallory, own) = node("//Mallory").await;
    let between = start_with(router(Echo::new()), |server| server.tls(own)).await;
    let url = format!("https://{}", between.address);
    for (whom, code) in [(&charlie, "tls_wrong_key"), (&mallory, "")] {
        let module = alice.connect(&miner(whom, &url)).unwrap();
        let answer = module.run_inference(ask(SIGNED, false)).await;
        let refused = answer
            .err()
            .map_or(String::new(), |error| error.code().to_owned());
        assert_eq!(refused, code);
    }
}

#[tokio::test]
async fn usually_members_are_public_and_have_tls() {
    let charlie = key("//Charlie").address().clone();
    let usual = SignedHttp::new(key("//Alice"));
    for (url, code) in [
        ("http://8.8.8.8", "plain_http_refused"),
        ("https://127.0.0.1", "address_refused"),
        ("https://10.1.2.3", "address_refused"),
    ] {
        let refused = usual.connect(&miner(&charlie, url)).map(drop).unwrap_err();
        assert_eq!(refused.code(), code, "{url}");
        assert!(refused.message().contains(charlie.as_str()) && refused.hint().is_some());
    }
    assert!(usual.connect(&miner(&charlie, "https://8.8.8.8")).is_ok());
}

#[tokio::test]
async fn an_api_is_served_in_plain_text_to_other_machines_unless_it_is_for_nodes_or_that_is_refused() {
    let charlie = key("//Charlie").address().clone();
    let tls = NodeTls::new(key("//Charlie")).await.unwrap();
    type Tune = Box<dyn Fn(Server) -> Server>;
    let with_tls: Tune = Box::new(move |server| server.tls(tls.clone()));
    let open = |server: Server| server.allow_without_keys(true);
    let allowed: Tune = Box::new(|server| server.allow_plain_http(true));
    let plain: Tune = Box::new(open);
    let told: Tune = Box::new(move |server| open(server).allow_plain_http(false));
    for (address, tune, signed, code) in [
        ("0.0.0.0:0", &plain, true, Some("plain_http_refused")),
        ("0.0.0.0:0", &with_tls, true, None),
        ("0.0.0.0:0", &allowed, true, None),
        ("0.0.0.0:0", &plain, false, None),
        ("127.0.0.1:0", &plain, true, None),
        ("0.0.0.0:0", &told, false, Some("plain_http_refused")),
        ("0.0.0.0:0", &told, true, Some("plain_http_refused")),
        ("127.0.0.1:0", &told, false, None),
    ] {
        let api = if signed {
            api_of(&charlie).0
        } else {
            router(Echo::new())
        };
        let server = tune(Server::bind(address).await.unwrap()).shutdown(async {});
        let refused = server.serve(api).await.err();
        assert_eq!(refused.as_ref().map(synapse_core::Error::code), code, "{address}");
        assert!(refused.is_none_or(|error| error.hint().is_some()));
    }
}
