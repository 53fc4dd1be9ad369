//! Headers of garbage: always a refusal with a code, never a panic.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{Sent, bob, wire_vectors};

const CODES: [&str; 7] = [
    "malformed_auth",
    "wrong_receiver",
    "stale_request",
    "bad_signature",
    "replayed_request",
    "unknown_caller",
    "insufficient_stake",
];

fn honest(protocol: &str) -> Sent {
    let vectors = wire_vectors();
    let signed = match protocol {
        "btauth" => &vectors["btauth1"]["sr25519"]["sample_headers_must_verify"],
        _ => &vectors["epistula_v2"]["headers"],
    };
    let headers = signed.as_object().unwrap().iter();
    Sent {
        method: http::Method::POST,
        target: "/generate?stream=false".to_owned(),
        headers: headers
            .map(|(name, value)| {
                (
                    HeaderName::try_from(name).unwrap(),
                    HeaderValue::try_from(value.as_str().unwrap()).unwrap(),
                )
            })
            .collect(),
        body: vectors["btauth1"]["body"].as_str().unwrap().into(),
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..=0x7eu8, 0x80..=0xffu8], 0..150),
        "(0x)?[0-9a-fA-F]{0,140}".prop_map(String::into_bytes),
        "[0-9]{0,30}".prop_map(String::into_bytes),
        "5[1-9A-HJ-NP-Za-km-z]{47}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_other_header_is_refused_with_a_code(
        protocol in prop::sample::select(vec!["btauth", "epistula"]),
        which in any::<prop::sample::Index>(),
        value in value(),
        twice in any::<bool>(),
    ) {
        let mut sent = honest(protocol);
        let names: Vec<HeaderName> = sent.headers.keys().cloned().collect();
        let name = &names[which.index(names.len())];
        let value = HeaderValue::from_bytes(&value).unwrap();
        prop_assume!(value != sent.headers[name]);
        match twice {
            true => { sent.headers.append(name, value); }
            false => { sent.headers.insert(name, value); }
        }
        let refused = sent.checked(&bob().0.accept_epistula());
        prop_assert!(refused.as_ref().is_err_and(|code| CODES.contains(&&**code)), "{:?}", refused);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut sent = honest("btauth");
        let at = at.index(sent.body.len());
        sent.body[at] ^= 1 << bit;
        prop_assert_eq!(sent.checked(&bob().0), Err("bad_signature".to_owned()));
    }
}

#[test]
fn what_they_start_from_is_taken() {
    for protocol in ["btauth", "epistula"] {
        assert!(honest(protocol).checked(&bob().0.accept_epistula()).is_ok());
    }
}
