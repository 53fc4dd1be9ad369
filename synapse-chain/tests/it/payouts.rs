use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{EpochId, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams, Weights};

/// A subnet that pays out 100 an epoch, at the end of its first weighing phase but one block.
async fn paying(validators: &[(&str, u64)], miners: &[&str]) -> (LocalChain, LocalSubnet) {
    let chain = LocalChain::in_memory();
    let params = SubnetParams::default()
        .with_epochs(10, 3)
        .with_emission(Stake(100));
    chain.create_subnet(SubnetId(7), params).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let all = validators
        .iter()
        .map(|(node, stake)| (*node, Role::Validator, *stake));
    for (node, role, stake) in all.chain(miners.iter().map(|node| (*node, Role::Miner, 0))) {
        chain.fund(&node.into(), Stake(stake)).unwrap();
        subnet
            .register(Registration::new(node, role, Stake(stake)))
            .await
            .unwrap();
    }
    chain.advance(9).unwrap();
    (chain, subnet)
}

async fn weigh(subnet: &LocalSubnet, validator: &str, weights: &[(&str, u16)]) {
    let weights = Weights::new(weights.iter().map(|(node, value)| ((*node).into(), *value))).unwrap();
    subnet
        .submit_weights(validator.into(), &validator.into(), EpochId(0), weights)
        .await
        .unwrap();
}

async fn check(chain: &LocalChain, subnet: &LocalSubnet, expected: &[(&str, u64)]) {
    chain.advance(1).unwrap();
    let expected: Vec<_> = expected
        .iter()
        .map(|(node, share)| (NodeId::from(*node), Stake(*share)))
        .collect();
    assert_eq!(subnet.payouts(EpochId(0)).await.unwrap(), expected);
    for (node, share) in expected {
        assert_eq!(chain.balance(&node).await.unwrap(), share, "{node} was paid");
    }
}

#[tokio::test]
async fn one_validators_weights_split_the_emission() {
    let (chain, subnet) = paying(&[("v", 10)], &["a", "b", "c"]).await;
    weigh(&subnet, "v", &[("a", 3), ("b", 1), ("c", 0)]).await;
    check(&chain, &subnet, &[("a", 75), ("b", 25)]).await;
}

#[tokio::test]
async fn the_median_by_stake_outvotes_a_minority() {
    let (chain, subnet) = paying(&[("v1", 40), ("v2", 35), ("v3", 25)], &["a", "b"]).await;
    weigh(&subnet, "v1", &[("a", 1), ("b", 1)]).await;
    weigh(&subnet, "v2", &[("a", 1), ("b", 1)]).await;
    weigh(&subnet, "v3", &[("b", 1)]).await;
    check(&chain, &subnet, &[("a", 50), ("b", 50)]).await;
}

#[tokio::test]
async fn what_is_left_over_goes_to_the_largest_remainder_then_by_name() {
    let (chain, subnet) = paying(&[("v", 10)], &["a", "b", "c"]).await;
    weigh(&subnet, "v", &[("a", 1), ("b", 1), ("c", 1)]).await;
    check(&chain, &subnet, &[("a", 34), ("b", 33), ("c", 33)]).await;
}

#[tokio::test]
async fn validators_without_any_stake_count_alike() {
    let (chain, subnet) = paying(&[("v1", 0), ("v2", 0)], &["a", "b"]).await;
    weigh(&subnet, "v1", &[("a", 1)]).await;
    weigh(&subnet, "v2", &[("a", 1), ("b", 1)]).await;
    // For a at least half give all; for b half give a half.
    check(&chain, &subnet, &[("a", 67), ("b", 33)]).await;
}

#[tokio::test]
async fn without_weights_of_miners_nothing_is_issued() {
    let (chain, subnet) = paying(&[("v", 10)], &["a"]).await;
    weigh(&subnet, "v", &[("v", 1)]).await;
    check(&chain, &subnet, &[]).await;
    assert_eq!(chain.supply().await.unwrap().issued, Stake(10));
    chain.advance(10).unwrap();
    assert!(subnet.payouts(EpochId(1)).await.unwrap().is_empty());
}
