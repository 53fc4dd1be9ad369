//! Forged, stale and misdirected requests, each sent to a server and refused with its code.

use http::{HeaderValue, Method};
use synapse_core::{
    Role, Stake,
    keys::{Scheme, Signer},
    testkit::Echo,
};
use synapse_http::{
    headers::CLOCK,
    router,
    signed::{Verifier, epistula},
};

use super::{SIGNED_AT, Sent, address, bob, edwards, key};
use crate::server::{Reply, start};

const SECOND: i64 = 1_000_000_000;

/// A request, and what a server must say of it.
#[derive(Clone)]
struct Case {
    name: &'static str,
    code: &'static str,
    sent: Sent,
    verifier: fn(Verifier) -> Verifier,
}

impl Case {
    fn new(name: &'static str, code: &'static str, sent: Sent) -> Self {
        Self {
            name,
            code,
            sent,
            verifier: |verifier| verifier,
        }
    }

    /// Where the server's verifier is not the usual one.
    fn under(self, verifier: fn(Verifier) -> Verifier) -> Self {
        Self { verifier, ..self }
    }
}

const SIGNATURE: &str = "x-bittensor-signature";
const NONCE: &str = "x-bittensor-nonce";
const HOTKEY: &str = "x-bittensor-hotkey";
const CRYPTO: &str = "x-bittensor-crypto";
const RECEIVER: &str = "x-bittensor-receiver";
const VERSION: &str = "x-bittensor-version";

/// When it was signed, in nanoseconds from now.
const STALE: [(&str, i64); 4] = [
    ("a nanosecond older than ten seconds", -10 * SECOND - 1),
    ("an hour old", -3600 * SECOND),
    ("a nanosecond more than two seconds ahead", 2 * SECOND + 1),
    ("an hour ahead", 3600 * SECOND),
];

/// A header, and what is put into it.
const MALFORMED: [(&str, &str, &str); 15] = [
    ("an empty signature", SIGNATURE, ""),
    ("a signature of no digits", SIGNATURE, "0x"),
    ("a signature that is not hex", SIGNATURE, "0xnothex"),
    ("another version", VERSION, "2"),
    ("a scheme that is none", CRYPTO, "ecdsa"),
    ("a scheme that is not for requests", CRYPTO, "secp256k1"),
    ("a scheme in capitals", CRYPTO, "SR25519"),
    ("a nonce that is no number", NONCE, "not-a-number"),
    ("a nonce with a sign", NONCE, "+1752076800000000000"),
    ("a nonce with a zero before it", NONCE, "01752076800000000000"),
    ("a nonce that is too long", NONCE, "17520768000000000000000000"),
    ("an empty nonce", NONCE, ""),
    ("an empty receiver", RECEIVER, ""),
    ("a signer that is no address", HOTKEY, "alice"),
    (
        "a signer with a wrong checksum",
        HOTKEY,
        "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ",
    ),
];

const TARGETS: [(&str, &str); 5] = [
    ("another path", "/v1/completions?trace=1"),
    ("another query", "/v1/chat/completions?trace=2"),
    ("no query", "/v1/chat/completions"),
    ("an escape for a letter", "/v1/ch%61t/completions?trace=1"),
    ("a path that leads nowhere", "/elsewhere"),
];

async fn by(signer: &str, nanos: i64) -> Sent {
    Sent::signed(&key(signer), Some(&address("//Bob")), nanos).await
}

async fn honest() -> Sent {
    by("//Alice", 0).await
}

fn with(sent: &Sent, name: &'static str, value: &str) -> Sent {
    let mut sent = sent.clone();
    let value = HeaderValue::try_from(value).unwrap();
    sent.headers.insert(name, value);
    sent
}

fn edited(sent: &Sent, edit: impl FnOnce(&mut Sent)) -> Sent {
    let mut sent = sent.clone();
    edit(&mut sent);
    sent
}

async fn when_and_for_whom() -> Vec<Case> {
    let (alice, bob, charlie) = (key("//Alice"), address("//Bob"), address("//Charlie"));
    let honest = honest().await;
    let for_nobody = Sent::signed(&alice, None, 0).await;
    let for_another = Sent::signed(&alice, Some(&charlie), 0).await;
    let mut cases = vec![
        Case::new(
            "for nobody in other words",
            "wrong_receiver",
            with(&for_nobody, RECEIVER, "-"),
        ),
        Case::new(
            "for nobody, our name put in",
            "bad_signature",
            with(&for_nobody, RECEIVER, bob.as_str()),
        ),
        Case::new(
            "for another, our name instead",
            "bad_signature",
            with(&for_another, RECEIVER, bob.as_str()),
        ),
        Case::new("for nobody", "wrong_receiver", for_nobody),
        Case::new("for another", "wrong_receiver", for_another),
        Case::new("of 1970", "stale_request", with(&honest, NONCE, "0")),
        Case::new(
            "of the last day",
            "stale_request",
            with(&honest, NONCE, "18446744073709551615"),
        ),
        Case::new(
            "of another time",
            "bad_signature",
            with(&honest, NONCE, "1752076800000000001"),
        ),
    ];
    for (name, nanos) in STALE {
        cases.push(Case::new(name, "stale_request", by("//Alice", nanos).await));
    }
    cases
}

async fn by_whom() -> Vec<Case> {
    let (honest, of_charlie) = (honest().await, by("//Charlie", 0).await);
    let (charlie, dave) = (address("//Charlie"), address("//Dave"));
    vec![
        Case::new("by nobody we know", "unknown_caller", by("//Dave", 0).await),
        Case::new(
            "in a stranger's name",
            "unknown_caller",
            with(&honest, HOTKEY, dave.as_str()),
        ),
        Case::new(
            "in another member's name",
            "bad_signature",
            with(&honest, HOTKEY, charlie.as_str()),
        ),
        Case::new("by a miner", "unknown_caller", of_charlie.clone())
            .under(|verifier| verifier.callers([Role::Validator])),
        Case::new("with too little stake", "insufficient_stake", of_charlie)
            .under(|verifier| verifier.min_stake(Stake(6))),
    ]
}

async fn what_and_how() -> Vec<Case> {
    let honest = honest().await;
    let signature = honest.headers[SIGNATURE].to_str().unwrap().to_owned();
    let signed = |value: &str| with(&honest, SIGNATURE, value);
    let of_other = key("//Alice").sign_now(b"something else").to_hex();
    let other_key = edwards("//Alice");
    let of_other_key = with(&signed(&other_key.sign_now(b"x").to_hex()), CRYPTO, "ed25519");
    let mut cases = vec![
        Case::new(
            "another body",
            "bad_signature",
            edited(&honest, |sent| sent.body[20] ^= 1),
        ),
        Case::new(
            "no body",
            "bad_signature",
            edited(&honest, |sent| sent.body.clear()),
        ),
        Case::new(
            "more body",
            "bad_signature",
            edited(&honest, |sent| sent.body.push(b' ')),
        ),
        Case::new(
            "another method",
            "bad_signature",
            edited(&honest, |sent| sent.method = Method::PUT),
        ),
        Case::new("truncated", "malformed_auth", signed(&signature[..100])),
        Case::new("a byte short", "malformed_auth", signed(&signature[..128])),
        Case::new("a digit short", "malformed_auth", signed(&signature[..129])),
        Case::new(
            "a byte too many",
            "malformed_auth",
            signed(&format!("{signature}00")),
        ),
        Case::new("without 0x", "malformed_auth", signed(&signature[2..])),
        Case::new(
            "zeros",
            "bad_signature",
            signed(&format!("0x{}", "0".repeat(128))),
        ),
        Case::new("of something else", "bad_signature", signed(&of_other)),
        Case::new(
            "said to be ed25519",
            "bad_signature",
            with(&honest, CRYPTO, "ed25519"),
        ),
        Case::new(
            "by the other key, of something else",
            "bad_signature",
            with(&of_other_key, HOTKEY, other_key.address().as_str()),
        ),
        Case::new("in a scheme that is not taken", "malformed_auth", honest.clone())
            .under(|verifier| verifier.schemes([Scheme::Ed25519])),
        Case::new(
            "nothing",
            "malformed_auth",
            edited(&honest, |sent| sent.headers.clear()),
        ),
    ];
    for (name, target) in TARGETS {
        let sent = Sent {
            target: target.to_owned(),
            ..honest.clone()
        };
        cases.push(Case::new(name, "bad_signature", sent));
    }
    for (name, header, value) in MALFORMED {
        cases.push(Case::new(name, "malformed_auth", with(&honest, header, value)));
    }
    for name in [SIGNATURE, NONCE, HOTKEY, VERSION] {
        let without = edited(&honest, |sent| drop(sent.headers.remove(name)));
        cases.push(Case::new("a header missing", "malformed_auth", without));
    }
    for name in [SIGNATURE, NONCE, HOTKEY, RECEIVER, VERSION] {
        let value = honest.headers[name].clone();
        let twice = edited(&honest, |sent| assert!(sent.headers.append(name, value)));
        cases.push(Case::new("a header twice", "malformed_auth", twice));
    }
    cases
}

/// What a server of `verifier` answers.
async fn answer(verifier: Verifier, sent: &Sent) -> Reply {
    let running = start(router(Echo::new()).signed(verifier)).await;
    running.exchange(sent.bytes()).await
}

fn assert_refused(name: &str, code: &str, reply: &Reply) {
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, code),
        "{name}: {}",
        reply.text()
    );
    let clock = reply.header(CLOCK.as_str()).and_then(|nanos| nanos.parse().ok());
    assert_eq!(clock, Some(SIGNED_AT), "{name}");
}

#[tokio::test]
async fn every_forgery_is_refused_with_its_code() {
    let cases = [when_and_for_whom().await, by_whom().await, what_and_how().await].concat();
    assert!(cases.len() >= 55, "{}", cases.len());
    for case in cases {
        let reply = answer((case.verifier)(bob().0), &case.sent).await;
        assert_refused(case.name, case.code, &reply);
    }
}

#[tokio::test]
async fn what_is_honest_is_answered() {
    let ten_old = Sent::signed(&key("//Alice"), Some(&address("//Bob")), -10 * SECOND).await;
    let two_ahead = Sent::signed(&key("//Alice"), Some(&address("//Bob")), 2 * SECOND).await;
    let of_a_miner = Sent::signed(&key("//Charlie"), Some(&address("//Bob")), 0).await;
    let edwards = Sent::signed(&edwards("//Alice"), Some(&address("//Bob")), 0).await;
    for sent in [honest().await, ten_old, two_ahead, of_a_miner, edwards] {
        let reply = answer(bob().0.min_stake(Stake(5)), &sent).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let for_nobody = Sent::signed(&key("//Alice"), None, 0).await;
    let reply = answer(bob().0.allow_missing_receiver(), &for_nobody).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn epistulas_forgeries_are_refused_with_their_codes() {
    let (alice, bob_address) = (key("//Alice"), address("//Bob"));
    let now = SIGNED_AT / 1_000_000;
    let uuid = "0b8e2f3a-5c1d-4e6f-8a9b-0c1d2e3f4a5b";
    let plain = honest().await;
    let signed = async |timestamp: u64| {
        let headers = epistula::sign(&*alice, &plain.body, &bob_address, timestamp, uuid);
        Sent {
            headers: headers.await.unwrap(),
            ..plain.clone()
        }
    };
    for (timestamp, taken) in [
        (now - 8000, true),
        (now - 8001, false),
        (now + 2000, true),
        (now + 2001, false),
    ] {
        let reply = answer(bob().0.accept_epistula(), &signed(timestamp).await).await;
        match taken {
            true => assert_eq!(reply.status, 200, "{}", reply.text()),
            false => assert_refused("stale", "stale_request", &reply),
        }
    }
    let honest = signed(now).await;
    let edit = |name, value| with(&honest, name, value);
    let body = edited(&honest, |sent| sent.body[20] ^= 1);
    let before = honest.headers["epistula-secret-signature-0"].to_str().unwrap();
    let (charlie, dave) = (address("//Charlie"), address("//Dave"));
    for (code, sent) in [
        ("wrong_receiver", edit("epistula-signed-for", charlie.as_str())),
        ("unknown_caller", edit("epistula-signed-by", dave.as_str())),
        ("bad_signature", edit("epistula-signed-by", charlie.as_str())),
        ("bad_signature", edit("epistula-timestamp", "1752076800001")),
        (
            "bad_signature",
            edit("epistula-uuid", "0b8e2f3a-5c1d-4e6f-8a9b-0c1d2e3f4a5c"),
        ),
        ("bad_signature", body),
        ("bad_signature", edit("epistula-secret-signature-1", before)),
        ("malformed_auth", edit("epistula-secret-signature-1", "")),
        ("malformed_auth", edit("epistula-request-signature", "")),
        (
            "malformed_auth",
            edit("epistula-uuid", "0b8e2f3a5c1d4e6f8a9b0c1d2e3f4a5b"),
        ),
        (
            "malformed_auth",
            edit("epistula-timestamp", "1752076800000000000"),
        ),
        ("malformed_auth", edit("epistula-version", "1")),
    ] {
        let reply = answer(bob().0.accept_epistula(), &sent).await;
        assert_refused(code, code, &reply);
    }
}
