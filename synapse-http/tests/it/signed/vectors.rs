//! The vectors of both protocols, in both directions.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use synapse_core::keys::{Scheme, Signature, Signer, verify};
use synapse_http::signed::{
    btauth::{self, Content},
    epistula,
};

use super::{SIGNED_AT, Sent, address, bob, edwards, key, wire_vectors};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

fn headers(value: &Value) -> HeaderMap {
    let fields = value.as_object().unwrap().iter();
    fields
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value.as_str().unwrap()).unwrap(),
            )
        })
        .collect()
}

fn theirs(vectors: &Value, signed: &Value) -> Sent {
    Sent {
        method: text(vectors, "method").parse().unwrap(),
        target: text(vectors, "target").to_owned(),
        headers: headers(signed),
        body: text(vectors, "body").into(),
    }
}

async fn ours(vectors: &Value, signer: &dyn Signer) -> Sent {
    let mut sent = theirs(vectors, &vectors["ed25519"]["headers"]);
    let content = Content {
        method: &sent.method,
        target: &sent.target,
        body: &sent.body,
    };
    let bob = address("//Bob");
    sent.headers = btauth::sign(signer, content, Some(&bob), SIGNED_AT)
        .await
        .unwrap();
    sent
}

#[test]
fn btauth_as_others_sign_it_is_taken() {
    let vectors = &wire_vectors()["btauth1"];
    for (scheme, signed) in [("sr25519", "sample_headers_must_verify"), ("ed25519", "headers")] {
        let sent = theirs(vectors, &vectors[scheme][signed]);
        let sender = text(&vectors[scheme], "sender");
        assert_eq!(sent.checked(&bob().0), Ok(sender.into()), "{scheme}");
    }
}

#[tokio::test]
async fn btauth_as_we_sign_it_is_what_others_sign() {
    let vectors = &wire_vectors()["btauth1"];
    let sent = ours(vectors, &*edwards("//Alice")).await;
    assert_eq!(sent.headers, headers(&vectors["ed25519"]["headers"]));
    assert!(sent.checked(&bob().0).is_ok());

    // sr25519 signs with randomness: the text is the same, and its signature holds.
    let mut sent = ours(vectors, &*key("//Alice")).await;
    assert!(sent.checked(&bob().0).is_ok());
    let signature = sent.headers.remove("x-bittensor-signature").unwrap();
    let signature = Signature::from_hex(signature.to_str().unwrap()).unwrap();
    let payload = text(&vectors["sr25519"], "payload");
    verify(
        Scheme::Sr25519,
        &address("//Alice"),
        payload.as_bytes(),
        &signature,
    )
    .unwrap();
    let mut others = headers(&vectors["sr25519"]["sample_headers_must_verify"]);
    others.remove("x-bittensor-signature");
    assert_eq!(sent.headers, others);
}

#[test]
fn btauth_lets_no_scheme_stand_for_another() {
    let vectors = &wire_vectors()["btauth1"];
    let mut sent = theirs(vectors, &vectors["ed25519"]["headers"]);
    sent.headers.remove("x-bittensor-crypto");
    assert_eq!(sent.checked(&bob().0), Err("bad_signature".to_owned()));
}

fn epistula_of(vectors: &Value) -> Sent {
    Sent {
        method: Method::POST,
        target: "/anything".to_owned(),
        headers: headers(&vectors["epistula_v2"]["headers"]),
        body: text(&vectors["btauth1"], "body").into(),
    }
}

#[test]
fn epistula_is_taken_where_it_is_asked_for() {
    let sent = epistula_of(&wire_vectors());
    assert_eq!(sent.checked(&bob().0.accept_epistula()), Ok(address("//Alice")));
    let error = bob().0.check(&sent.head(), &sent.body).unwrap_err();
    assert_eq!(error.code(), "malformed_auth");
    assert!(error.message().contains("Epistula"), "{error}");
}

#[tokio::test]
async fn epistula_as_we_sign_it_is_what_others_sign() {
    let vectors = wire_vectors();
    let mut others = headers(&vectors["epistula_v2"]["headers"]);
    let (alice, bob_address) = (key("//Alice"), address("//Bob"));
    let uuid = others["epistula-uuid"].to_str().unwrap().to_owned();
    let body = text(&vectors["btauth1"], "body");
    let mut ours = epistula::sign(
        &*alice,
        body.as_bytes(),
        &bob_address,
        SIGNED_AT / 1_000_000,
        &uuid,
    )
    .await
    .unwrap();
    let sent = Sent {
        headers: ours.clone(),
        ..epistula_of(&vectors)
    };
    assert!(sent.checked(&bob().0.accept_epistula()).is_ok());

    let interval = vectors["epistula_v2"]["secret_interval"].as_u64().unwrap();
    let messages = [
        (
            "epistula-request-signature",
            text(&vectors["epistula_v2"], "message").to_owned(),
        ),
        (
            "epistula-secret-signature-0",
            format!("{}.{bob_address}", interval - 1),
        ),
        ("epistula-secret-signature-1", format!("{interval}.{bob_address}")),
        (
            "epistula-secret-signature-2",
            format!("{}.{bob_address}", interval + 1),
        ),
    ];
    for (name, message) in messages {
        let signature = Signature::from_hex(ours.remove(name).unwrap().to_str().unwrap()).unwrap();
        verify(Scheme::Sr25519, alice.address(), message.as_bytes(), &signature).unwrap();
        others.remove(name);
    }
    assert_eq!(ours, others);
}

#[test]
fn secret_signatures_are_taken_in_every_spelling_that_is_about() {
    let alice = key("//Alice");
    let (sender, receiver) = (address("//Alice"), address("//Bob"));
    let spelled = |first: &str, second: &str, third: &str| {
        let mut sent = epistula_of(&wire_vectors());
        for (at, message) in [first, second, third].into_iter().enumerate() {
            let name = HeaderName::try_from(format!("epistula-secret-signature-{at}")).unwrap();
            let signature = alice.sign_now(message.as_bytes()).to_hex();
            sent.headers
                .insert(name, HeaderValue::try_from(signature).unwrap());
        }
        sent.checked(&bob().0.accept_epistula())
    };
    for who in [&sender, &receiver] {
        let short = |interval: u64| format!("{interval}.{who}");
        let float = |interval: u64| format!("{interval}.0.{who}");
        let now = SIGNED_AT / 1_000_000;
        assert!(spelled(&short(175_207_679), &short(175_207_680), &short(175_207_681)).is_ok());
        assert!(spelled(&float(now - 1), &float(now), &float(now + 1)).is_ok());
        let shifted = spelled(&short(175_207_680), &short(175_207_680), &short(175_207_681));
        assert_eq!(shifted, Err("bad_signature".to_owned()));
        let mixed = spelled(&short(175_207_679), &float(now), &short(175_207_681));
        assert_eq!(
            mixed,
            Err("bad_signature".to_owned()),
            "a client has one spelling"
        );
    }
}

#[test]
fn secret_signatures_may_be_absent_and_the_requests_may_not() {
    let mut sent = epistula_of(&wire_vectors());
    for name in ["0", "1", "2"] {
        sent.headers.remove(format!("epistula-secret-signature-{name}"));
    }
    assert!(sent.checked(&bob().0.accept_epistula()).is_ok());
    sent.headers.remove("epistula-request-signature");
    assert_eq!(
        sent.checked(&bob().0.accept_epistula()),
        Err("malformed_auth".to_owned())
    );
}
