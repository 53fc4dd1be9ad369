//! Which addresses of members are dialled.

use synapse_core::{InferenceModule, NodeId, testkit::Echo};
use synapse_http::{OpenAiModule, client::Builder, router};

use super::{
    server::{start, start_with},
    tls_hop::{ask, echoes, key, node, refusal},
};

fn member(url: &str) -> Builder {
    let alice: NodeId = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".into();
    OpenAiModule::builder(url).node_key(alice)
}

/// Whether it is dialled: unless something is allowed, where loopback is, where private addresses are.
fn check(host: &str, usually: bool, loopback: bool, private: bool) {
    let url = format!("https://{host}:8091/miner");
    for (builder, expected) in [
        (member(&url), usually),
        (member(&url).allow_loopback(true), loopback),
        (member(&url).allow_private(true), private),
    ] {
        let code = builder.build().err().map(|error| error.code().to_owned());
        let wanted = (!expected).then(|| "address_refused".to_owned());
        assert_eq!(code, wanted, "{host}");
    }
}

#[test]
fn public_addresses_are_dialled() {
    for host in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.1.1",
        "223.255.255.255",
        "[2606:4700:4700::1111]",
        "[2a00:1450:4001::5]",
        "miner.example.com",
    ] {
        check(host, true, true, true);
    }
}

#[test]
fn loopback_and_private_addresses_are_dialled_where_they_are_allowed() {
    for host in [
        "127.0.0.1",
        "127.255.1.2",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "127.1",
    ] {
        check(host, false, true, false);
    }
    for host in [
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "[fc00::1]",
        "[fd12:3456::1]",
        "0xa000001",
    ] {
        check(host, false, false, true);
    }
}

#[test]
fn others_are_never_dialled() {
    for host in [
        // Clouds' metadata, wherever it is.
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        // Link-local, multicast, unspecified, broadcast, reserved, documentation, benchmarks.
        "169.254.1.1",
        "[fe80::1]",
        "224.0.0.1",
        "239.255.255.250",
        "[ff02::1]",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "[::]",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "198.18.0.1",
        "192.88.99.1",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[5f00::1]",
        // IPv4 within IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:8.8.8.8]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::10.0.0.1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[2a00:1450::5efe:10.0.0.1]",
    ] {
        check(host, false, false, false);
        let both = member(&format!("https://{host}"))
            .allow_loopback(true)
            .allow_private(true);
        assert_eq!(both.build().unwrap_err().code(), "address_refused", "{host}");
    }
}

#[test]
fn plain_http_is_for_loopback() {
    let refused = |builder: Builder| builder.build().err().map(|error| error.code().to_owned());
    let plain = Some("plain_http_refused".to_owned());
    assert_eq!(refused(member("http://8.8.8.8:80")), plain);
    assert_eq!(refused(member("HTTP://8.8.8.8:80")), plain);
    assert_eq!(refused(member("http://miner.example.com")), plain);
    assert_eq!(refused(member("http://localhost.example.com")), plain);
    assert_eq!(refused(member("http://10.0.0.1").allow_private(true)), plain);
    assert_eq!(refused(member("http://8.8.8.8:80").allow_plain_http(true)), None);
    assert_eq!(refused(member("http://127.0.0.1:80").allow_loopback(true)), None);
    let loopback = refused(member("http://127.0.0.1:80").allow_plain_http(true));
    assert_eq!(loopback.as_deref(), Some("address_refused"));
    // An operator's own upstream is whatever he says.
    assert_eq!(refused(OpenAiModule::builder("http://10.0.0.1:8080")), None);
}

#[tokio::test]
async fn what_a_name_stands_for_is_looked_at_when_it_is_dialled() {
    let (alice, tls) = node("//Alice").await;
    let running = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    let url = format!("https://localhost:{}", running.address.port());
    let named = || OpenAiModule::builder(url.clone()).node_key(alice.clone());
    let error = refusal(named()).await;
    assert_eq!(error.code(), "address_refused", "{error:?}");
    assert!(
        !error.message().contains("127.0.0.1"),
        "a client who asks through a gateway may not know: {error}"
    );
    echoes(&named().allow_loopback(true).build().unwrap()).await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let api = axum::Router::new().fallback(|| async {
        (
            http::StatusCode::TEMPORARY_REDIRECT,
            [(http::header::LOCATION, "http://169.254.169.254/")],
        )
    });
    let running = start(api).await;
    let member = OpenAiModule::builder(format!("http://{}", running.address))
        .node_key(key_address())
        .allow_loopback(true)
        .build()
        .unwrap();
    assert!(member.run_inference(ask("hello", false)).await.is_err());
}

fn key_address() -> NodeId {
    synapse_core::keys::Signer::address(&key("//Alice")).clone()
}
