//! Headers at a gateway's door: API keys, and what proxies say.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use synapse_core::ErrorKind;
use synapse_http::{
    api_keys::presented,
    proxies::{ForwardingHeader, Network, TrustedProxies},
};

/// The values of a header, one a line: as an API key, as what proxies say, and each as a network.
pub fn door_headers(data: &[u8]) {
    let values: Vec<HeaderValue> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    key(&values);
    hops(
        ForwardingHeader::XForwardedFor,
        "x-forwarded-for",
        "203.0.113.9",
        &values,
    );
    hops(
        ForwardingHeader::Forwarded,
        "forwarded",
        "for=\"203.0.113.9:80\"",
        &values,
    );
    for network in values.iter().filter_map(|value| value.to_str().ok()) {
        if let Ok(parsed) = network.parse::<Network>() {
            assert_eq!(
                parsed.to_string().parse::<Network>().expect("as it is written"),
                parsed
            );
        }
    }
}

fn headers(name: &HeaderName, values: &[HeaderValue]) -> HeaderMap {
    values.iter().map(|value| (name.clone(), value.clone())).collect()
}

fn key(values: &[HeaderValue]) {
    match presented(&headers(&header::AUTHORIZATION, values)) {
        Ok(key) => {
            let digits = key.strip_prefix("sk-syn-").expect("what keys begin with");
            assert_eq!(digits.len(), 64);
            assert!(
                digits
                    .bytes()
                    .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            );
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert!(["missing_api_key", "invalid_api_key"].contains(&error.code()));
            let shown = values.iter().filter_map(|value| value.to_str().ok());
            for text in shown.filter(|text| text.len() > 40) {
                assert!(!error.to_string().contains(text), "it repeats what was shown");
            }
        }
    }
}

/// Whatever stands in the header already: a stranger stays who he is, and what a proxy adds at the end counts.
fn hops(header: ForwardingHeader, name: &'static str, added: &str, values: &[HeaderValue]) {
    let name = HeaderName::from_static(name);
    let proxies = TrustedProxies::new([network("10.0.0.0/8")]).header(header);
    let (stranger, proxy, client) = (
        address("198.51.100.1"),
        address("10.0.0.1"),
        address("203.0.113.9"),
    );
    let said = headers(&name, values);
    assert_eq!(proxies.client(stranger, &said), stranger);
    let _ = proxies.client(proxy, &said);

    let added = HeaderValue::from_str(added).expect("plain text");
    let mut another_line = said.clone();
    another_line.append(&name, added.clone());
    assert_eq!(proxies.client(proxy, &another_line), client);
    if let Some((last, before)) = values.split_last() {
        let joined = [last.as_bytes(), b", ", added.as_bytes()].concat();
        let mut same_line = headers(&name, before);
        same_line.append(
            &name,
            HeaderValue::from_bytes(&joined).expect("two values of headers"),
        );
        assert_eq!(proxies.client(proxy, &same_line), client);
    }
}

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
