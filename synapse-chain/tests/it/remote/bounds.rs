//! How much a chain takes at once, and how long a handle waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use synapse_chain::{Call, LocalChain, Transaction, remote::UnknownOutcome};
use synapse_core::{
    BlockNumber, Stake,
    keys::{Keypair, Scheme, Signer as _},
};
use tokio::{net::TcpListener, task::JoinSet};

use super::{Served, key};
use crate::{code, somebody};

#[tokio::test]
async fn a_thousand_submissions_at_once_are_all_taken_a_few_at_a_time() {
    let served = Served::new(|api| api.max_submissions(16)).await;
    let chain = served.connect().await;
    let keys = (0..1000_u16).map(|number| {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&number.to_be_bytes());
        Arc::new(Keypair::from_seed(Scheme::Ed25519, &seed).unwrap())
    });
    let keys: Vec<Arc<Keypair>> = keys.collect();
    for key in &keys {
        served.chain.fund(key.address(), Stake(1)).unwrap();
    }
    let mut heads = chain.head();
    while heads.next().await.unwrap().block < served.chain.block() {}
    let mut submissions = JoinSet::new();
    for from in keys {
        let chain = chain.clone();
        submissions.spawn(async move {
            let transaction = Transaction {
                chain: chain.id().clone(),
                account: from.address().clone(),
                nonce: 0,
                valid_until: BlockNumber(chain.block().0 + 128),
                salt: 0,
                call: Call::Transfer {
                    to: somebody(),
                    amount: Stake(1),
                },
            };
            let signed = transaction.sign(&*from).await.unwrap();
            chain.submit(signed).await.unwrap();
        });
    }
    while let Some(done) = submissions.join_next().await {
        done.unwrap();
    }
    assert_eq!(chain.balance(&somebody()).await.unwrap(), Stake(1000));
}

#[tokio::test]
async fn more_followers_than_allowed_are_turned_away() {
    let served = Served::new(|api| api.max_followers(1)).await;
    let hasty = LocalChain::remote(&served.url()).patience(Duration::from_millis(200));
    // Its own follower of the newest block has the only place.
    let chain = hasty.connect().await.unwrap();
    let refused = chain.subnet(synapse_core::SubnetId(7)).await;
    assert_eq!(code(refused), "too_many_followers");
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let served = Served::new(|api| api.max_followers_per_peer(1)).await;
    let hasty = LocalChain::remote(&served.url()).patience(Duration::from_millis(200));
    let chain = hasty.connect().await.unwrap();
    let refused = chain.subnet(synapse_core::SubnetId(7)).await;
    assert_eq!(code(refused), "too_many_followers");
}

#[tokio::test]
async fn followers_go_with_the_last_handle() {
    let served = Served::new(|api| api.max_followers(2)).await;
    for _ in 0..3 {
        let chain = served.connect().await;
        let subnet = chain.subnet(synapse_core::SubnetId(7)).await.unwrap();
        drop(chain);
        assert!(synapse_core::Subnet::epochs(&subnet).current().ends.0 > 0);
    }
}

#[tokio::test]
async fn whoever_does_not_answer_is_given_up_in_time() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let started = Instant::now();
    let hasty = LocalChain::remote(&url)
        .silence_timeout(Duration::from_millis(50))
        .patience(Duration::from_millis(200));
    assert_eq!(code(hasty.clone().connect().await), "chain_silent");
    drop(mute);
    assert_eq!(code(hasty.connect().await), "chain_unreachable");
    assert!(started.elapsed() < Duration::from_secs(5));
    // A question has a bound of its own, however long silence is borne.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let patient = LocalChain::remote(&format!("http://{}", mute.local_addr().unwrap()))
        .silence_timeout(Duration::from_secs(60))
        .patience(Duration::from_millis(200));
    assert_eq!(code(patient.connect().await), "chain_silent");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(code(LocalChain::connect("ftp://somewhere").await), "bad_endpoint");
}

#[tokio::test]
async fn where_no_receipt_comes_the_error_names_the_hash() {
    let chain = LocalChain::builder()
        .block_time(Duration::from_secs(3600))
        .build()
        .unwrap();
    let served = Served::of(chain, |api| api.inclusion_timeout(Duration::from_millis(20))).await;
    let chain = LocalChain::remote(&served.url())
        .submission_timeout(Duration::from_millis(200))
        .connect()
        .await
        .unwrap();
    let alice = key("//Alice");
    let transaction = Transaction {
        chain: chain.id().clone(),
        account: alice.address().clone(),
        nonce: 0,
        valid_until: BlockNumber(served.chain.block().0 + 10),
        salt: 0,
        call: Call::Transfer {
            to: somebody(),
            amount: Stake(1),
        },
    };
    let signed = transaction.sign(&*alice).await.unwrap();
    let error = chain.submit(signed.clone()).await.unwrap_err();
    assert_eq!(error.code(), "outcome_unknown");
    assert!(error.to_string().contains(&signed.hash().to_string()), "{error}");
    assert_eq!(UnknownOutcome::of(&error).unwrap().hash(), signed.hash());
}

#[tokio::test]
async fn the_wait_for_the_signers_turn_counts() {
    let chain = LocalChain::builder()
        .block_time(Duration::from_secs(3600))
        .build()
        .unwrap();
    let served = Served::of(chain, |api| api.inclusion_timeout(Duration::from_millis(20))).await;
    let chain = LocalChain::remote(&served.url())
        .submission_timeout(Duration::from_millis(300))
        .connect()
        .await
        .unwrap()
        .with_signer(key("//Alice"));
    let started = Instant::now();
    let to = somebody();
    let (one, other) = tokio::join!(chain.transfer(&to, Stake(1)), chain.transfer(&to, Stake(1)));
    assert_eq!(
        (code(one), code(other)),
        ("outcome_unknown".to_owned(), "call_timeout".to_owned())
    );
    assert!(started.elapsed() < Duration::from_secs(3));
}
