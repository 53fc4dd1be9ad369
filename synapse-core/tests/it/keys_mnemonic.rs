//! Phrases and seeds: the keys that wallets make of them.

use synapse_core::keys::{Mnemonic, Scheme, SecretText, Seed, Signer, WordCount};

const PHRASE: &str = "caution juice atom organ advance problem want pledge someone senior holiday very";

#[test]
fn a_phrase_has_the_addresses_that_wallets_give_it() {
    let check = |phrase: &str, scheme, address: &str| {
        let key = Mnemonic::parse(phrase).unwrap().keypair(scheme).unwrap();
        assert_eq!(key.address().as_str(), address, "{phrase}");
    };
    let development = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    check(
        development,
        Scheme::Sr25519,
        "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV",
    );
    check(
        development,
        Scheme::Ed25519,
        "5DFJF7tY4bpbpcKPJcBTQaKuCDEPCpiz8TRjpmLeTtweqmXL",
    );
    // As Bittensor's wallet has them.
    check(
        PHRASE,
        Scheme::Sr25519,
        "5Gv8YYFu8H1btvmrJy9FjjAWfb99wrhV3uhPFoNEr918utyR",
    );
    check(
        PHRASE,
        Scheme::Ed25519,
        "5GM7RtekqU8cGiS4MKQ7tufoH4Q1itzmoFpVcvcPfjksyPrw",
    );
    // As Hardhat, MetaMask and ethers have it.
    let test = "test test test test test test test test test test test junk";
    check(
        test,
        Scheme::Secp256k1,
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    );
}

#[test]
fn a_password_leads_to_the_seeds_that_substrate_lists() {
    let check = |phrase: &str, seed: &str| {
        let mnemonic = Mnemonic::parse(phrase).unwrap();
        let found = mnemonic.seed_with_password(Scheme::Ed25519, "Substrate").unwrap();
        assert_eq!(found.reveal(), seed, "{phrase}");
    };
    check(
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
        "0x44e9d125f037ac1d51f0a7d3649689d422c2af8b1ec8e00d71db4d7bf6d127e3",
    );
    check(
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "0x4313249608fe8ac10fd5886c92c4579007272cb77c21551ee5b8d60b78041685",
    );
}

#[test]
fn a_new_phrase_is_read_again_and_is_never_the_same() {
    for (count, words) in [(WordCount::Twelve, 12), (WordCount::TwentyFour, 24)] {
        let (one, other) = (
            Mnemonic::generate(count).unwrap(),
            Mnemonic::generate(count).unwrap(),
        );
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().split(' ').count(), words);
        let again = Mnemonic::parse(&format!("  {}\n", one.reveal().replace(' ', " \t "))).unwrap();
        assert_eq!(again.reveal(), one.reveal());
    }
}

#[test]
fn a_phrase_that_is_not_quite_one_is_refused_without_a_word_of_it() {
    let check = |phrase: &str, why: &str| {
        let refused = Mnemonic::parse(phrase).unwrap_err();
        assert_eq!(refused.code(), "bad_mnemonic");
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(
            phrase.is_empty() || !refused.to_string().contains(&phrase[..4]),
            "{refused}"
        );
    };
    check("", "has 0 words");
    check("caution juice atom", "has 3 words");
    check(&PHRASE.replace("atom", "atoms"), "number 3");
    check(&PHRASE.replace("atom", "organ"), "checksum");
    check(&"caution ".repeat(1000), "too long");
}

#[test]
fn a_text_is_a_phrase_or_a_seed() {
    let seed = format!("0x{}", "07".repeat(32));
    assert_eq!(SecretText::parse(&format!("{seed}\n")).unwrap().reveal(), seed);
    assert_eq!(SecretText::parse(PHRASE).unwrap().reveal(), PHRASE);
    for wrong in [
        "0x",
        "0x07",
        &"07".repeat(32),
        &seed.replace("07", "0g"),
        &format!("{seed}07"),
    ] {
        let refused = SecretText::parse(wrong).unwrap_err();
        assert!(matches!(refused.code(), "bad_seed" | "bad_mnemonic"), "{refused}");
        assert!(!refused.to_string().contains("07"), "{refused}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let mnemonic = Mnemonic::parse(PHRASE).unwrap();
    assert_eq!(format!("{mnemonic:?}"), "Mnemonic(12 words)");
    assert_eq!(
        format!("{:?}", Seed::from_hex(&format!("0x{}", "07".repeat(32))).unwrap()),
        "Seed(…)"
    );
    assert_eq!(
        format!("{:?}", SecretText::from(mnemonic)),
        "Mnemonic(Mnemonic(12 words))"
    );
}
