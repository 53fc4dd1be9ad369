//! Keys: the addresses and signatures that others make, and the refusal of what is not quite one.

use serde_json::Value;
use synapse_core::{
    NodeId,
    keys::{Keypair, Scheme, Signature, Signer, check_address, verify},
};

const SCHEMES: [Scheme; 3] = [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1];
/// A key, an address and a signature of "Some data" from the documentation of web3.js.
const EVM_SEED: &str = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
const EVM_ADDRESS: &str = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23";
const EVM_SIGNATURE: &str = "0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd\
                             6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c";

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/wire_vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn unhex(digits: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}

fn evm() -> Keypair {
    Keypair::from_seed(Scheme::Secp256k1, &unhex(EVM_SEED)).unwrap()
}

#[test]
fn development_keys_have_the_addresses_that_substrate_gives_them() {
    let vectors = vectors();
    let check = |scheme, uri, address: &str| {
        assert_eq!(
            Keypair::from_uri(scheme, uri).unwrap().address().as_str(),
            address,
            "{scheme} {uri}"
        );
    };
    check(
        Scheme::Sr25519,
        "//Alice",
        text(&vectors, "/btauth1/sr25519/sender"),
    );
    check(
        Scheme::Sr25519,
        "//Bob",
        text(&vectors, "/btauth1/sr25519/receiver"),
    );
    check(
        Scheme::Ed25519,
        "//Alice",
        text(&vectors, "/btauth1/ed25519/sender"),
    );
    check(
        Scheme::Ed25519,
        "//Bob",
        "5GoNkf6WdbxCFnPdAnYYQyCjAKPJgLNxXwPjwTh6DGg6gN3E",
    );
    check(
        Scheme::Sr25519,
        "//Alice//stash",
        "5GNJqTPyNqANBkUVMN1LPPrxXnFouWXoe2wNSmmEoLctxiZY",
    );
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    for uri in [
        "",
        "Alice",
        "//",
        "//Alice/",
        "///",
        &format!("//{}", "a".repeat(300)),
    ] {
        assert_eq!(
            Keypair::from_uri(Scheme::Sr25519, uri).unwrap_err().code(),
            "bad_uri",
            "{uri:?}"
        );
    }
    assert!(Keypair::from_uri(Scheme::Sr25519, "//Alice/soft").is_ok());
    assert_eq!(
        Keypair::from_uri(Scheme::Ed25519, "//Alice/soft")
            .unwrap_err()
            .code(),
        "bad_uri"
    );
    assert_eq!(
        Keypair::from_uri(Scheme::Secp256k1, "//Alice")
            .unwrap_err()
            .code(),
        "unsupported_scheme"
    );
}

#[test]
fn the_signed_request_of_another_implementation_verifies() {
    let vectors = vectors();
    let payload = text(&vectors, "/btauth1/sr25519/payload").as_bytes();
    let sender: NodeId = text(&vectors, "/btauth1/sr25519/sender").into();
    let headers = vectors
        .pointer("/btauth1/sr25519/sample_headers_must_verify")
        .unwrap();
    let signature = Signature::from_hex(text(headers, "/X-Bittensor-Signature")).unwrap();
    verify(Scheme::Sr25519, &sender, payload, &signature).unwrap();

    let alice = Keypair::from_uri(Scheme::Ed25519, "//Alice").unwrap();
    let payload = text(&vectors, "/btauth1/ed25519/payload").as_bytes();
    assert_eq!(
        alice.sign_now(payload).to_hex(),
        text(&vectors, "/btauth1/ed25519/signature_exact")
    );
}

#[test]
fn an_evm_key_has_the_address_and_signature_that_wallets_give_it() {
    let key = evm();
    assert_eq!(key.address().as_str(), EVM_ADDRESS);
    let wallets = Signature::from_hex(EVM_SIGNATURE).unwrap();
    verify(Scheme::Secp256k1, key.address(), b"Some data", &wallets).unwrap();

    let ours = key.sign_now(b"Some data");
    assert_eq!(ours.as_bytes()[..64], wallets.as_bytes()[..64]);
    assert_eq!(ours.as_bytes()[64] + 27, wallets.as_bytes()[64]);
}

#[tokio::test]
async fn each_scheme_verifies_what_it_signed_and_nothing_else() {
    for scheme in SCHEMES {
        let (key, other) = (
            Keypair::generate(scheme).unwrap(),
            Keypair::generate(scheme).unwrap(),
        );
        let signature = key.sign(b"message").await.unwrap();
        assert_eq!(signature.as_bytes().len(), scheme.signature_len());
        verify(scheme, key.address(), b"message", &signature).unwrap();

        let check = |address, message, signature: &Signature| {
            assert_eq!(
                verify(scheme, address, message, signature).unwrap_err().code(),
                "bad_signature",
                "{scheme}"
            );
        };
        check(key.address(), b"massage".as_slice(), &signature);
        check(other.address(), b"message", &signature);
        for at in 0..scheme.signature_len() {
            let mut changed = signature.as_bytes().to_vec();
            changed[at] ^= 1;
            check(key.address(), b"message", &Signature::new(&changed).unwrap());
        }
    }
}

#[test]
fn schemes_are_not_confused() {
    let seed = [7; 32];
    for signed in SCHEMES {
        let key = Keypair::from_seed(signed, &seed).unwrap();
        let signature = key.sign_now(b"message");
        for claimed in SCHEMES.into_iter().filter(|claimed| *claimed != signed) {
            let address = Keypair::from_seed(claimed, &seed).unwrap().address().clone();
            for address in [key.address(), &address] {
                let refused = verify(claimed, address, b"message", &signature).unwrap_err();
                assert!(
                    matches!(refused.code(), "bad_signature" | "malformed_address"),
                    "{signed} as {claimed}"
                );
            }
        }
    }
}

#[test]
fn both_ways_to_write_a_recovery_id_are_read_and_no_third() {
    let key = evm();
    let signature = key.sign_now(b"message");
    let with = |id: u8| {
        let mut bytes = signature.as_bytes().to_vec();
        bytes[64] = id;
        verify(
            Scheme::Secp256k1,
            key.address(),
            b"message",
            &Signature::new(&bytes).unwrap(),
        )
    };
    let id = signature.as_bytes()[64];
    with(id).unwrap();
    with(id + 27).unwrap();
    for wrong in (0..=255).filter(|wrong| ![id, id + 27].contains(wrong)) {
        assert_eq!(with(wrong).unwrap_err().code(), "bad_signature", "{wrong}");
    }
}

#[test]
fn the_other_form_of_an_evm_signature_is_refused() {
    let order = unhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    let key = evm();
    let mut bytes = key.sign_now(b"message").as_bytes().to_vec();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(order[at]) - i16::from(bytes[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    bytes[64] ^= 1;
    let malleated = Signature::new(&bytes).unwrap();
    let refused = verify(Scheme::Secp256k1, key.address(), b"message", &malleated).unwrap_err();
    assert_eq!(refused.code(), "bad_signature");
}

#[test]
fn an_address_that_is_not_quite_one_is_refused() {
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let check = |scheme, address: &str| {
        let refused = check_address(scheme, &address.into()).unwrap_err();
        assert_eq!(refused.code(), "malformed_address", "{scheme} {address:?}");
    };
    check_address(Scheme::Sr25519, &alice.into()).unwrap();
    for wrong in [
        "",
        EVM_ADDRESS,
        &alice[1..],
        &alice.replace('Q', "R"),
        &alice.replace('G', "0"),
        // Alice on Polkadot and on Kusama.
        "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
        "HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F",
        &"5".repeat(10_000),
    ] {
        check(Scheme::Sr25519, wrong);
        check(Scheme::Ed25519, wrong);
    }
    check_address(Scheme::Secp256k1, &EVM_ADDRESS.into()).unwrap();
    for wrong in [
        "",
        alice,
        "0x",
        &EVM_ADDRESS[2..],
        &EVM_ADDRESS[..41],
        &EVM_ADDRESS.replace('E', "e"),
        &EVM_ADDRESS.replace('E', "G"),
        &EVM_ADDRESS.replace("0x2c", "0xé"),
    ] {
        check(Scheme::Secp256k1, wrong);
    }
}

#[test]
fn a_signature_that_is_not_quite_one_is_refused() {
    let check = |text: &str| {
        assert_eq!(
            Signature::from_hex(text).unwrap_err().code(),
            "malformed_signature",
            "{text:?}"
        );
    };
    let right = "ab".repeat(64);
    assert_eq!(
        Signature::from_hex(&format!("0x{right}")).unwrap().to_hex(),
        format!("0x{right}")
    );
    check("");
    check("0x");
    check(&right);
    check(&format!("0x{right}a"));
    check(&format!("0x{}", "g".repeat(128)));
    check(&format!("0x{}", "ab".repeat(63)));
    check(&format!("0x{}", "ab".repeat(66)));
    check(&format!("0x{}", "é".repeat(64)));
}

#[test]
fn zero_is_no_evm_key() {
    assert_eq!(
        Keypair::from_seed(Scheme::Secp256k1, &[0; 32])
            .unwrap_err()
            .code(),
        "bad_seed"
    );
    assert_eq!(
        Keypair::from_seed(Scheme::Secp256k1, &[255; 32])
            .unwrap_err()
            .code(),
        "bad_seed"
    );
}

#[test]
fn debug_shows_the_address_and_no_secret() {
    for scheme in SCHEMES {
        let key = Keypair::from_seed(scheme, &[7; 32]).unwrap();
        let shown = format!("{key:?}");
        assert_eq!(
            shown,
            format!(
                "Keypair {{ address: {:?}, scheme: {scheme:?}, .. }}",
                key.address()
            )
        );
    }
}

#[test]
fn a_secp256k1_key_has_one_address_however_else_it_could_be_spelled() {
    let signature = evm().sign_now(b"message");
    verify(Scheme::Secp256k1, &EVM_ADDRESS.into(), b"message", &signature).unwrap();
    for other in [
        EVM_ADDRESS.to_ascii_lowercase(),
        EVM_ADDRESS.to_ascii_uppercase().replace('X', "x"),
    ] {
        let other = other.into();
        for refused in [
            check_address(Scheme::Secp256k1, &other).unwrap_err(),
            verify(Scheme::Secp256k1, &other, b"message", &signature).unwrap_err(),
        ] {
            assert_eq!(refused.code(), "malformed_address", "{other}");
            assert_eq!(refused.hint(), Some(format!("write {EVM_ADDRESS}").as_str()));
        }
    }
}
