use std::sync::Arc;

use synapse_chain::{Call, ChainId, LocalChain, Outcome, SignedTransaction, Transaction};
use synapse_core::{
    BlockNumber, EpochId, Error, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams, Weights,
    keys::{Keypair, Scheme, Signer as _},
};

use crate::{code, key, somebody};

/// A chain where key 1 holds 100.
pub(crate) fn funded() -> (LocalChain, Arc<Keypair>) {
    let chain = LocalChain::in_memory();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let key = key(1);
    chain.fund(key.address(), Stake(100)).unwrap();
    (chain, key)
}

pub(crate) fn transfer(chain: &LocalChain, from: &NodeId, nonce: u64, amount: u64) -> Transaction {
    Transaction {
        chain: chain.id().clone(),
        account: from.clone(),
        nonce,
        valid_until: BlockNumber(chain.block().0 + 10),
        salt: 0,
        call: Call::Transfer {
            to: somebody(),
            amount: Stake(amount),
        },
    }
}

pub(crate) async fn submit(
    chain: &LocalChain,
    transaction: &Transaction,
    key: &Keypair,
) -> Result<Outcome, Error> {
    Ok(chain.submit(transaction.sign(key).await?).await?.outcome)
}

#[tokio::test]
async fn every_scheme_signs_transactions() {
    for scheme in [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1] {
        let (chain, _) = funded();
        let key = Arc::new(Keypair::from_seed(scheme, &[9; 32]).unwrap());
        chain.fund(key.address(), Stake(10)).unwrap();
        chain
            .with_signer(key.clone())
            .transfer(&somebody(), Stake(4))
            .await
            .unwrap();
        assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(4));
        assert_eq!(chain.account(key.address()).await.unwrap().next_nonce, 1);
    }
}

#[tokio::test]
async fn what_is_not_signed_by_its_account_is_not_taken() {
    let (chain, alice) = funded();
    chain.fund(key(2).address(), Stake(1)).unwrap();
    let transaction = transfer(&chain, alice.address(), 0, 1);
    assert_eq!(code(transaction.sign(&*key(2)).await), "not_the_signer");
    let signed = transaction.sign(&*alice).await.unwrap();
    let json = serde_json::to_string(&signed).unwrap();
    let tampered = |from: &str, to: &str| -> SignedTransaction {
        let tampered = json.replace(from, to);
        assert_ne!(tampered, json);
        serde_json::from_str(&tampered).unwrap()
    };
    for (from, to, refusal) in [
        (r#"\"amount\":1"#, r#"\"amount\":2"#, "bad_signature"),
        (
            alice.address().as_str(),
            key(2).address().as_str(),
            "bad_signature",
        ),
        (r#""scheme":"ed25519""#, r#""scheme":"sr25519""#, "bad_signature"),
        (r#""signature":"0x"#, r#""signature":""#, "malformed_signature"),
        (
            r#"\"nonce\":0"#,
            r#"\"nonce\":0,\"tip\":1"#,
            "malformed_transaction",
        ),
        (
            r#"\"nonce\":0"#,
            r#"\"nonce\":0,\"nonce\":0"#,
            "malformed_transaction",
        ),
    ] {
        assert_eq!(
            code(chain.submit(tampered(from, to)).await),
            refusal,
            "{from} → {to}"
        );
    }
    assert_eq!(chain.account(alice.address()).await.unwrap().next_nonce, 0);
    chain.submit(signed).await.unwrap();
}

#[tokio::test]
async fn each_transaction_takes_effect_once() {
    let (chain, alice) = funded();
    let signed = transfer(&chain, alice.address(), 0, 1)
        .sign(&*alice)
        .await
        .unwrap();
    let receipt = chain.submit(signed.clone()).await.unwrap();
    assert_eq!(
        chain.submit(signed.clone()).await.unwrap(),
        receipt,
        "the same bytes again have their receipt"
    );
    assert_eq!(chain.receipt(&signed.hash()).await.unwrap(), Some(receipt));
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(1));
    assert_eq!(
        code(submit(&chain, &transfer(&chain, alice.address(), 0, 2), &alice).await),
        "transaction_replayed"
    );
    chain.advance(256).unwrap();
    assert_eq!(
        chain.receipt(&signed.hash()).await.unwrap(),
        None,
        "receipts are kept for a while"
    );
    assert_eq!(code(chain.submit(signed).await), "transaction_replayed");
}

#[tokio::test]
async fn what_can_never_be_in_a_block_is_not_taken() {
    let (chain, alice) = funded();
    let good = transfer(&chain, alice.address(), 0, 1);
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = good.clone();
        change(&mut transaction);
        transaction
    };
    for (transaction, refusal) in [
        (with(&|it| it.chain = ChainId::new("another")), "wrong_chain"),
        (with(&|it| it.nonce = 64), "nonce_gap"),
        (with(&|it| it.valid_until = BlockNumber(0)), "transaction_expired"),
        (with(&|it| it.valid_until = BlockNumber(129)), "valid_too_long"),
    ] {
        assert_eq!(code(submit(&chain, &transaction, &alice).await), refusal);
    }
    let stranger = key(2);
    assert_eq!(
        code(submit(&chain, &transfer(&chain, stranger.address(), 0, 0), &stranger).await),
        "unknown_account"
    );
    let huge = with(&|it| {
        it.call = Call::Transfer {
            to: "x".repeat(SignedTransaction::MAX_BODY).into(),
            amount: Stake(1),
        };
    });
    assert_eq!(code(submit(&chain, &huge, &alice).await), "transaction_too_large");
}

#[tokio::test]
async fn what_the_rules_refuse_uses_up_its_nonce_and_stays_refused() {
    let (chain, alice) = funded();
    let overspend = transfer(&chain, alice.address(), 0, 101);
    let outcome = submit(&chain, &overspend, &alice).await.unwrap();
    assert_eq!(code(outcome.into_result()), "insufficient_balance");
    chain.fund(alice.address(), Stake(1_000)).unwrap();
    let again = submit(&chain, &overspend, &alice).await.unwrap();
    assert_eq!(code(again.into_result()), "insufficient_balance");
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(0));
    assert_eq!(chain.account(alice.address()).await.unwrap().next_nonce, 1);
}

#[tokio::test]
async fn transactions_wait_for_those_before_them() {
    let (chain, alice) = funded();
    let later = transfer(&chain, alice.address(), 1, 60)
        .sign(&*alice)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let chain = chain.clone();
        let later = later.clone();
        async move { chain.submit(later).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(
        code(submit(&chain, &transfer(&chain, alice.address(), 1, 1), &alice).await),
        "nonce_taken"
    );
    assert_eq!(chain.account(alice.address()).await.unwrap().next_nonce, 0);
    let first = submit(&chain, &transfer(&chain, alice.address(), 0, 50), &alice)
        .await
        .unwrap();
    assert!(matches!(first, Outcome::Done { .. }));
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(
        code(second.outcome.into_result()),
        "insufficient_balance",
        "in the order of their nonces"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_clocks_next_block() {
    let chain = LocalChain::builder()
        .block_time(std::time::Duration::from_secs(6))
        .build()
        .unwrap();
    let alice = key(1);
    chain.fund(alice.address(), Stake(100)).unwrap();
    let block = chain.block();
    let mut head = chain.head();
    let mut paid = Vec::new();
    for nonce in (0..3).rev() {
        let (chain, alice) = (chain.clone(), alice.clone());
        paid.push(tokio::spawn(async move {
            let signed = transfer(&chain, alice.address(), nonce, 1)
                .sign(&*alice)
                .await
                .unwrap();
            // Somebody sends it twice: both learn what became of it.
            let (once, again) = tokio::join!(chain.submit(signed.clone()), chain.submit(signed));
            assert_eq!(once.as_ref().unwrap(), again.as_ref().unwrap());
            once.unwrap()
        }));
    }
    for receipt in paid {
        assert_eq!(receipt.await.unwrap().block.0, block.0 + 1);
    }
    while head.next().await.unwrap().block == block {}
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(3));
    let late = Transaction {
        valid_until: BlockNumber(chain.block().0 + 2),
        salt: 0,
        ..transfer(&chain, alice.address(), 4, 1)
    };
    assert_eq!(
        code(submit(&chain, &late, &alice).await),
        "transaction_expired",
        "its predecessor never came"
    );
}

#[tokio::test]
async fn handles_with_the_same_key_do_not_trip_over_each_other() {
    let (chain, alice) = funded();
    let paid = (0..20).map(|_| {
        let handle = chain.with_signer(alice.clone());
        tokio::spawn(async move { handle.transfer(&somebody(), Stake(1)).await })
    });
    for paid in paid.collect::<Vec<_>>() {
        paid.await.unwrap().unwrap();
    }
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(20));
    assert_eq!(code(chain.transfer(&somebody(), Stake(1)).await), "no_signer");
}

#[tokio::test]
async fn signed_calls_name_addresses_and_the_embedders_own_whom_it_likes() {
    let (chain, alice) = funded();
    let handle = chain.with_signer(alice.clone());
    for name in ["bob", "", "0xabc", &"5".repeat(48)] {
        assert_eq!(
            code(handle.transfer(&name.into(), Stake(1)).await),
            "malformed_address",
            "{name}"
        );
    }
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let register = async |name: &str| {
        subnet
            .register(Registration::new(name, Role::Miner, Stake(0)))
            .await
    };
    let long = "x".repeat(129);
    for name in ["", "a\nb", "a\"b", "a\\b", &long] {
        assert_eq!(code(chain.fund(&name.into(), Stake(1))), "bad_name");
        assert_eq!(code(register(name).await), "bad_name");
    }
    register(&long[..128]).await.unwrap();
    let weights = Weights::new([("a".into(), 1)]).unwrap();
    assert_eq!(
        code(
            subnet
                .submit_weights((*long).into(), &"v".into(), EpochId(0), weights)
                .await
        ),
        "bad_name"
    );
    assert_eq!(
        chain.account(alice.address()).await.unwrap().next_nonce,
        0,
        "none of them was taken"
    );
}

/// A body as somebody else wrote it.
async fn sign_body(body: &str, key: &Keypair) -> SignedTransaction {
    let signature = key
        .sign(format!("synapse-tx/1\n{body}").as_bytes())
        .await
        .unwrap();
    let signed = serde_json::json!({ "body": body, "scheme": "ed25519", "signature": signature.to_hex() });
    serde_json::from_value(signed).unwrap()
}

#[tokio::test]
async fn nobody_pads_a_body() {
    let (chain, alice) = funded();
    let body = serde_json::to_string(&transfer(&chain, alice.address(), 0, 1)).unwrap();
    let to = somebody();
    for padded in [
        format!("{body}\n\n"),
        body.replace("\"amount\":", "\"amount\": "),
        body.replace(to.as_str(), &to.as_str().replacen('5', "\\u0035", 1)),
    ] {
        assert_ne!(padded, body);
        let signed = sign_body(&padded, &alice).await;
        assert_eq!(code(chain.submit(signed).await), "malformed_transaction");
    }
    chain.submit(sign_body(&body, &alice).await).await.unwrap();
}
