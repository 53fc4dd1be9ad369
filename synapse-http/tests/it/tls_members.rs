//! Who answers is the member, or nobody is asked.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _, date_time_ymd};
use rustls::{pki_types::CertificateDer, version::TLS12};
use synapse_core::{
    InferenceModule,
    keys::{Keypair, Scheme, Signer},
    testkit::{self, Echo, ManualClock},
};
use synapse_http::{
    OpenAiModule, router,
    tls::{EXTENSION, NodeCertificate, NodeClaim, NodeTls},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    server::{start, start_with},
    tls_hop::{Between, ask, echoes, key, node, ordinary, reach, refusal, text},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn der(tls: &NodeTls) -> CertificateDer<'static> {
    CertificateDer::from(tls.certificate().der().to_vec())
}

/// The extension of a node's certificate, as anybody can copy it.
fn extension(certificate: &[u8]) -> CustomExtension {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    let [extension] = certificate.extensions() else {
        panic!("one extension");
    };
    assert!(!extension.critical);
    CustomExtension::from_oid_content(&EXTENSION, extension.value.to_vec())
}

/// A certificate made by hand, as the documentation has it.
fn by_hand(signer: &Keypair, not_before: u64, not_after: u64) -> (CertificateDer<'static>, KeyPair) {
    use sha2::{Digest as _, Sha256};
    use std::fmt::Write as _;

    let tls_key = KeyPair::generate().unwrap();
    let mut digest = String::new();
    for byte in Sha256::digest(tls_key.subject_public_key_info()) {
        write!(digest, "{byte:02x}").unwrap();
    }
    let message = format!("synapse-tls/1\n{digest}\n{not_before}\n{not_after}");
    let signature = signer.sign_now(message.as_bytes()).to_hex();
    let words = format!("{} {} {signature}", signer.scheme(), signer.address());
    let length = u8::try_from(words.len()).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(not_after);
    let value = [&[0x0c, 0x81, length], words.as_bytes()].concat();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION, value)];
    (params.self_signed(&tls_key).unwrap().der().clone(), tls_key)
}

#[tokio::test]
async fn a_member_of_each_scheme_answers() {
    for scheme in [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1] {
        let key = Keypair::generate(scheme).unwrap();
        let member = key.address().clone();
        let tls = NodeTls::new(key).await.unwrap();
        let running = start_with(router(Echo::new()), |server| server.tls(tls)).await;
        echoes(&reach(running.address, &member).build().unwrap()).await;
    }
}

#[tokio::test]
async fn a_module_behind_tls_passes_the_behaviour_suite() {
    let (alice, tls) = node("//Alice").await;
    let running = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    testkit::conformance(reach(running.address, &alice).build().unwrap())
        .await
        .assert();
}

#[tokio::test]
async fn another_member_in_between_is_refused_and_both_are_named() {
    let (alice, _) = node("//Alice").await;
    let (mallory, tls) = node("//Mallory").await;
    let between = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(error.code(), "tls_wrong_key");
    for address in [&alice, &mallory] {
        assert!(error.message().contains(address.as_str()), "{error}");
    }
}

#[tokio::test]
async fn who_shows_the_members_certificate_without_its_key_is_refused() {
    let (alice, tls) = node("//Alice").await;
    let own = KeyPair::generate().unwrap();
    let between = Between::impostor(vec![der(&tls)], &own).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(error.code(), "tls_key_not_held", "{error:?}");
    assert!(!between.has_seen("POST"), "nothing was asked");
}

#[tokio::test]
async fn the_members_extension_on_another_tls_key_is_refused() {
    let (alice, tls) = node("//Alice").await;
    let (certificate, own) = ordinary(vec![extension(tls.certificate().der())]);
    let between = Between::impostor(vec![certificate], &own).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(
        error.code(),
        "tls_not_a_node",
        "its times are not a node's: {error}"
    );

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now - 60);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now + 60);
    params.custom_extensions = vec![extension(tls.certificate().der())];
    let certificate = params.self_signed(&own).unwrap().der().clone();
    let between = Between::impostor(vec![certificate], &own).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(error.code(), "tls_wrong_key", "{error:?}");
    assert!(error.message().contains("did not sign"), "{error}");
    assert!(!between.has_seen("POST"), "nothing was asked");
}

#[tokio::test]
async fn an_ordinary_certificate_is_no_nodes() {
    let alice = key("//Alice").address().clone();
    let (certificate, own) = ordinary(vec![]);
    let between = Between::impostor(vec![certificate], &own).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(error.code(), "tls_not_a_node", "{error:?}");
    assert!(!between.has_seen("POST"), "nothing was asked");
}

#[tokio::test]
async fn a_certificate_by_the_documentation_is_taken_and_one_for_too_long_is_not() {
    let alice = key("//Alice");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = DAY.as_secs();
    let (certificate, tls_key) = by_hand(&alice, now - day, now + day);
    let claim = NodeClaim::read(&certificate).unwrap();
    assert_eq!(claim.node(), alice.address());
    claim.check(alice.address(), SystemTime::now()).unwrap();
    let taken = Between::impostor(vec![certificate.clone()], &tls_key).await;
    let module = reach(taken.address, alice.address()).build().unwrap();
    let _ = module.run_inference(ask("hello", false)).await;
    assert!(taken.has_seen("POST"), "it was asked");

    let with_another = Between::impostor(vec![certificate.clone(), certificate], &tls_key).await;
    let error = refusal(reach(with_another.address, alice.address())).await;
    assert_eq!(error.code(), "tls_not_a_node", "{error:?}");

    let (certificate, tls_key) = by_hand(&alice, now - day, now + 60 * day);
    let between = Between::impostor(vec![certificate], &tls_key).await;
    let error = refusal(reach(between.address, alice.address())).await;
    assert_eq!(error.code(), "tls_not_a_node", "{error:?}");
}

#[tokio::test]
async fn times_are_the_wall_clocks_and_a_refusal_names_both() {
    let (alice, tls) = node("//Alice").await;
    let running = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    let now = SystemTime::now();
    for (ours, code) in [
        (now + 8 * DAY, Some("no longer valid")),
        (now - DAY, Some("not valid yet")),
        (now + 6 * DAY, None),
        (now - Duration::from_secs(1800), None),
    ] {
        let clock = Arc::new(ManualClock::at(ours));
        let builder = reach(running.address, &alice).wall_clock(clock);
        let Some(says) = code else {
            echoes(&builder.build().unwrap()).await;
            continue;
        };
        let error = refusal(builder).await;
        assert_eq!(error.code(), "tls_expired", "{error:?}");
        let message = error.message();
        assert!(
            message.contains(says) && message.contains("ours says") && message.matches("+0000").count() == 3,
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_node_with_a_new_hotkey_is_another_node() {
    let (before, old) = node("//Alice//1").await;
    let (after, new) = node("//Alice//2").await;
    let running = start_with(router(Echo::new()), |server| server.tls(old)).await;
    echoes(&reach(running.address, &before).build().unwrap()).await;
    let error = refusal(reach(running.address, &after)).await;
    assert_eq!(error.code(), "tls_wrong_key");
    running.ended().await.unwrap();
    let running = start_with(router(Echo::new()), |server| server.tls(new)).await;
    echoes(&reach(running.address, &after).build().unwrap()).await;
}

#[tokio::test]
async fn a_scheme_is_never_downgraded() {
    let alice = key("//Alice").address().clone();
    let plain = start(router(Echo::new())).await;
    let error = refusal(reach(plain.address, &alice).allow_plain_http(true)).await;
    assert_eq!(error.code(), "tls_downgraded", "{error:?}");

    let issued = NodeCertificate::issue(&key("//Alice"), DAY, &synapse_core::SystemClock)
        .await
        .unwrap();
    let old = CertificateDer::from(issued.der().to_vec());
    let between = Between::impostor_speaking(&[&TLS12], vec![old], &KeyPair::generate().unwrap()).await;
    let error = refusal(reach(between.address, &alice)).await;
    assert_eq!(error.code(), "tls_downgraded", "{error:?}");
}

#[tokio::test]
async fn what_travels_is_tls_and_the_address_may_be_another() {
    const CANARY: &str = "a canary in the prompt and in the answer";
    let (alice, tls) = node("//Alice").await;
    let running = start_with(router(Echo::new()), |server| server.tls(tls)).await;
    let forwarder = Between::recording(running.address).await;
    for stream in [true, false] {
        let module = reach(forwarder.address, &alice).build().unwrap();
        let output = module.run_inference(ask(CANARY, stream)).await.unwrap();
        assert_eq!(text(output).await.unwrap(), CANARY);
    }
    for plain in ["canary", "HTTP/1.1", "messages", "chat.completion"] {
        assert!(!forwarder.has_seen(plain), "{plain:?} was there to read");
    }
    let seen = forwarder.seen.lock().unwrap().clone();
    assert!(seen.starts_with(&[0x16, 3]), "a TLS handshake");
    assert!(
        seen.windows(3).any(|window| window == [0x17, 3, 3]),
        "TLS records"
    );

    let plain = start(router(Echo::new())).await;
    let forwarder = Between::recording(plain.address).await;
    let module = OpenAiModule::builder(format!("http://{}", forwarder.address))
        .build()
        .unwrap();
    text(module.run_inference(ask(CANARY, true)).await.unwrap())
        .await
        .unwrap();
    assert!(forwarder.has_seen("canary"), "the forwarder would have seen it");
}
