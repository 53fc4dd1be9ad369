//! Where requests come from.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue};
use synapse_core::{Body, Caller, ClientIp, Delta, FinishReason, Input, Output, testkit::Scripted};
use synapse_http::{
    Api,
    proxies::{ForwardingHeader, TrustedProxies},
    router,
};

use super::server::{chat, start};

fn trusted() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "2001:db8:aa::/48"].map(|network| network.parse().unwrap()))
}

#[track_caller]
fn comes_from(proxies: &TrustedProxies, peer: &str, name: &str, lines: &[&str], client: &str) {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            HeaderName::try_from(name).unwrap(),
            HeaderValue::from_bytes(line.as_bytes()).unwrap(),
        );
    }
    assert_eq!(
        proxies.client(peer.parse().unwrap(), &headers).to_string(),
        client,
        "{peer} {lines:?}"
    );
}

#[test]
fn the_last_hop_that_is_no_proxy_of_ours_counts() {
    let check = |peer, lines: &[&str], client| comes_from(&trusted(), peer, "x-forwarded-for", lines, client);
    // Whoever is no proxy of ours writes what he likes.
    check("203.0.113.9", &["1.2.3.4"], "203.0.113.9");
    check("203.0.113.9", &["10.0.0.1"], "203.0.113.9");
    check("::ffff:203.0.113.9", &["1.2.3.4"], "203.0.113.9");
    // So does who is behind one, but not in the last place.
    check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["10.0.0.7, 203.0.113.9"], "203.0.113.9");
    check("10.0.0.1", &["1.2.3.4", "203.0.113.9"], "203.0.113.9");
    check(
        "10.0.0.1",
        &["1.2.3.4, 203.0.113.9, 10.0.0.2", "10.0.0.3"],
        "203.0.113.9",
    );
    check("2001:db8:aa::1", &["2001:db8:bb::1"], "2001:db8:bb::1");
    check("2001:db8:aa::1", &["::ffff:192.0.2.1"], "192.0.2.1");
    // With ports, as some write them.
    check("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9");
    check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
    check("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
    // Where all are ours, the first one asks for itself.
    check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
    check("10.0.0.1", &[], "10.0.0.1");
    // What cannot be read ends the list.
    for odd in [
        "",
        "unknown",
        "_hidden",
        "203.0.113.9 1",
        "1.2.3",
        "[::1",
        "::1]:80",
        "1.2.3.4:99999",
        "1.2.3.4:",
        "é",
    ] {
        check("10.0.0.1", &[odd], "10.0.0.1");
        check("10.0.0.1", &[&format!("1.2.3.4, {odd}, 10.0.0.2")], "10.0.0.2");
        check("10.0.0.1", &[&format!("{odd}, 203.0.113.9")], "203.0.113.9");
    }
}

#[test]
fn the_header_of_rfc_7239_is_read_as_well_and_instead() {
    let proxies = trusted().header(ForwardingHeader::Forwarded);
    let check = |lines: &[&str], client| comes_from(&proxies, "10.0.0.1", "forwarded", lines, client);
    check(&["for=203.0.113.9"], "203.0.113.9");
    check(
        &["For=\"203.0.113.9:4711\";proto=https;by=10.0.0.1"],
        "203.0.113.9",
    );
    check(
        &["for=1.2.3.4, for=\"[2001:db8::1]:4711\";host=\"a,b\""],
        "2001:db8::1",
    );
    check(
        &["for=1.2.3.4, for=203.0.113.9, by=x;for=10.0.0.2", "for=10.0.0.3"],
        "203.0.113.9",
    );
    // A quote that is opened at the beginning hides nothing of what comes after.
    check(&["for=\"1.2.3.4, for=203.0.113.9"], "203.0.113.9");
    check(&["for=\"", "for=203.0.113.9"], "203.0.113.9");
    for odd in [
        "",
        "proto=https",
        "for=unknown",
        "for=_x",
        "for",
        "for=1.2.3.4;for=1.2.3.4",
        "for=\"1.2.3.4",
        "203.0.113.9",
    ] {
        check(&[odd], "10.0.0.1");
    }
    comes_from(
        &proxies,
        "10.0.0.1",
        "x-forwarded-for",
        &["203.0.113.9"],
        "10.0.0.1",
    );
    comes_from(
        &trusted(),
        "10.0.0.1",
        "forwarded",
        &["for=203.0.113.9"],
        "10.0.0.1",
    );
}

#[tokio::test]
async fn what_a_stranger_says_of_himself_changes_nothing() {
    let forged = "x-forwarded-for: 1.2.3.4\r\nforwarded: for=1.2.3.4\r\nx-real-ip: 1.2.3.4\r\n";
    let near = || TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    for (proxies, header, client) in [
        (TrustedProxies::none(), forged, "127.0.0.1"),
        (trusted(), forged, "127.0.0.1"),
        (near(), forged, "1.2.3.4"),
        (
            near(),
            "x-forwarded-for: 2001:db8:1:2:3:4:5:6\r\n",
            "2001:db8:1:2::",
        ),
        (near(), "x-forwarded-for: 1.2.3.4, nonsense\r\n", "127.0.0.1"),
    ] {
        let (api, kept) = keeps();
        let server = start(api.trusted_proxies(proxies)).await;
        let reply = server
            .post_with("/v1/chat/completions", header, chat(false).as_bytes())
            .await;
        assert_eq!(reply.status, 200);
        let input = kept.lock().unwrap().take().unwrap();
        let beside = input.extensions();
        assert_eq!(
            beside.get::<ClientIp>().unwrap().0.to_string(),
            client,
            "{header}"
        );
        let caller = beside.get::<Caller>().unwrap().id().to_string();
        assert_eq!(caller.trim_end_matches("/64"), format!("ip:{client}"));
    }
}

#[tokio::test]
async fn an_api_within_another_has_the_word_of_the_proxies_that_it_knows() {
    let near = || TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]);
    for (outer, inner) in [(true, false), (false, true), (true, true)] {
        let proxies = |known| if known { near() } else { TrustedProxies::none() };
        let (api, kept) = keeps();
        let api =
            Api::from(api.trusted_proxies(proxies(inner)).into_router()).trusted_proxies(proxies(outer));
        let server = start(api).await;
        let header = "x-forwarded-for: 1.2.3.4\r\n";
        server
            .post_with("/v1/chat/completions", header, chat(false).as_bytes())
            .await;
        let input = kept.lock().unwrap().take().unwrap();
        assert_eq!(
            input.extensions().get::<ClientIp>().unwrap().0.to_string(),
            "1.2.3.4"
        );
    }
}

fn keeps() -> (Api, Arc<Mutex<Option<Input>>>) {
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
    (router(module), kept)
}
