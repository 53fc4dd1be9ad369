use synapse_chain::LocalChain;
use synapse_core::{NodeId, Stake, Subnet, SubnetId, SubnetParams, keys::Signer as _};

use crate::{
    code, key, somebody,
    transactions::{submit, transfer},
};

#[tokio::test(start_paused = true)]
async fn what_no_block_can_take_yet_keeps_nobody_out() {
    let chain = LocalChain::builder()
        .block_time(std::time::Duration::from_secs(6))
        .build()
        .unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let (alice, poor): (_, Vec<_>) = (key(1), (100..130).map(key).collect());
    for key in poor.iter().chain([&alice]) {
        chain.fund(key.address(), Stake(1)).unwrap();
    }
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..7_000 {
        let (subnet, node) = (subnet.clone(), NodeId::from(format!("nobody-{number}")));
        waiting.spawn(async move { subnet.leave(&node).await });
    }
    for (key, nonce) in poor
        .iter()
        .flat_map(|key| (1..9).map(move |nonce| (key.clone(), nonce)))
    {
        let transaction = transfer(&chain, key.address(), nonce, 0);
        let chain = chain.clone();
        waiting.spawn(async move { submit(&chain, &transaction, &key).await.map(drop) });
    }
    // Transactions find 8,192 - 1,024 places.
    while waiting.len() > 7_168 {
        assert_eq!(code(waiting.join_next().await.unwrap().unwrap()), "mempool_full");
    }
    let last = transfer(&chain, poor[0].address(), 9, 0);
    assert_eq!(code(submit(&chain, &last, &poor[0]).await), "nonce_gap");
    let paid = tokio::spawn({
        let handle = chain.with_signer(alice);
        async move { handle.transfer(&somebody(), Stake(1)).await }
    });
    assert_eq!(
        code(waiting.join_next().await.unwrap().unwrap()),
        "mempool_full",
        "the youngest made room"
    );
    chain.fund(&"the embedder's".into(), Stake(1)).unwrap();
    paid.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    let chain = LocalChain::builder()
        .block_time(std::time::Duration::from_secs(6))
        .build()
        .unwrap();
    let alice = key(1);
    chain.fund(alice.address(), Stake(1)).unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let signed = transfer(&chain, alice.address(), 0, 1)
        .sign(&*alice)
        .await
        .unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let (chain, signed) = (chain.clone(), signed.clone());
        waiting.spawn(async move { chain.submit(signed).await.map(drop) });
    }
    assert_eq!(
        code(waiting.join_next().await.unwrap().unwrap()),
        "too_many_waiting"
    );
    for number in 0..8_192 {
        let (subnet, node) = (subnet.clone(), NodeId::from(format!("nobody-{number}")));
        waiting.spawn(async move { subnet.leave(&node).await });
    }
    assert_eq!(code(waiting.join_next().await.unwrap().unwrap()), "mempool_full");
    let block = chain.block();
    let told = waiting.join_all().await;
    let refused = |refusal: &str| {
        let refused = told.iter().filter_map(|told| told.as_ref().err());
        refused.filter(|error| error.code() == refusal).count()
    };
    assert_eq!((told.len(), refused("unknown_member")), (8 + 8_191, 8_191));
    assert_eq!(chain.block().0, block.0 + 9, "1,000 calls a block");
}
