use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    EpochId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams, Weights, keys::Signer as _,
};

use crate::{code, key};

/// Two places, a fee of 5, an immunity of 10 blocks, and 1,000 for whoever is named.
async fn crowded() -> (LocalChain, LocalSubnet) {
    let chain = LocalChain::in_memory();
    let params = SubnetParams::default()
        .with_epochs(10, 3)
        .with_max_members(2)
        .with_registration_fee(Stake(5))
        .with_immunity(10)
        .with_emission(Stake(100));
    chain.create_subnet(SubnetId(7), params).unwrap();
    for account in ["v1", "v2", "a", "b", "c"] {
        chain.fund(&account.into(), Stake(1_000)).unwrap();
    }
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    (chain, subnet)
}

async fn join(subnet: &LocalSubnet, node: &str, role: Role, stake: u64) -> Result<(), synapse_core::Error> {
    let joined = subnet.register(Registration::new(node, role, Stake(stake))).await;
    joined.map(drop)
}

fn members(subnet: &LocalSubnet) -> Vec<String> {
    let directory = subnet.directory().current();
    directory
        .members()
        .iter()
        .map(|member| member.node.to_string())
        .collect()
}

#[tokio::test]
async fn a_registration_burns_its_fee_once() {
    let (chain, subnet) = crowded().await;
    join(&subnet, "a", Role::Miner, 100).await.unwrap();
    join(&subnet, "a", Role::Miner, 50).await.unwrap();
    assert_eq!(chain.balance(&"a".into()).await.unwrap(), Stake(945));
    assert_eq!(chain.supply().await.unwrap().burned, Stake(5));
    assert_eq!(
        code(join(&subnet, "b", Role::Miner, 996).await),
        "insufficient_balance"
    );
    assert_eq!(
        code(join(&subnet, "b", Role::Miner, u64::MAX).await),
        "insufficient_balance"
    );
    assert_eq!(chain.balance(&"b".into()).await.unwrap(), Stake(1_000));
}

#[tokio::test]
async fn a_miner_takes_the_place_of_the_one_that_staked_least_once_it_is_not_immune() {
    let (chain, subnet) = crowded().await;
    join(&subnet, "a", Role::Miner, 20).await.unwrap();
    join(&subnet, "b", Role::Miner, 10).await.unwrap();
    chain.advance(9).unwrap();
    assert_eq!(code(join(&subnet, "c", Role::Miner, 0).await), "subnet_full");
    chain.advance(1).unwrap();
    join(&subnet, "c", Role::Miner, 0).await.unwrap();
    assert_eq!(members(&subnet), ["a", "c"]);
    assert_eq!(
        chain.balance(&"b".into()).await.unwrap(),
        Stake(995),
        "its stake came back"
    );
}

#[tokio::test]
async fn who_earned_keeps_its_place_before_who_staked_more() {
    let (chain, subnet) = crowded().await;
    join(&subnet, "v1", Role::Validator, 10).await.unwrap();
    join(&subnet, "a", Role::Miner, 1).await.unwrap();
    chain.advance(7).unwrap();
    let weights = Weights::new([("a".into(), 1)]).unwrap();
    subnet
        .submit_weights("w".into(), &"v1".into(), EpochId(0), weights)
        .await
        .unwrap();
    subnet.leave(&"v1".into()).await.unwrap();
    join(&subnet, "b", Role::Miner, 500).await.unwrap();
    chain.advance(20).unwrap();
    assert_eq!(
        subnet.payouts(EpochId(0)).await.unwrap(),
        [],
        "a validator that left has no say"
    );
    join(&subnet, "c", Role::Miner, 2).await.unwrap();
    assert_eq!(members(&subnet), ["b", "c"]);
}

#[tokio::test]
async fn a_validator_takes_a_place_by_staking_more() {
    let (chain, subnet) = crowded().await;
    join(&subnet, "v1", Role::Validator, 50).await.unwrap();
    join(&subnet, "a", Role::Miner, 10).await.unwrap();
    chain.advance(10).unwrap();
    assert_eq!(
        code(join(&subnet, "v2", Role::Validator, 50).await),
        "subnet_full"
    );
    join(&subnet, "v2", Role::Validator, 51).await.unwrap();
    assert_eq!(members(&subnet), ["a", "v2"]);
}

#[tokio::test]
async fn an_owner_pays_and_earns_for_its_node() {
    let (chain, subnet) = crowded().await;
    let (owner, node, other) = (key(1), key(2), key(3));
    for account in [&owner, &other] {
        chain.fund(account.address(), Stake(100)).unwrap();
    }
    let as_owner = subnet.with_signer(owner.clone());
    let member = as_owner
        .register_node(&*node, Role::Miner, Stake(40))
        .await
        .unwrap();
    assert_eq!((&member.node, &member.owner), (node.address(), owner.address()));
    assert_eq!(chain.balance(owner.address()).await.unwrap(), Stake(55));
    let as_other = subnet.with_signer(other.clone());
    assert_eq!(code(as_other.leave(node.address()).await), "not_the_owner");
    assert_eq!(
        code(as_other.register_node(&*node, Role::Miner, Stake(1)).await),
        "not_the_owner"
    );
    let stranger = Registration::new(key(4).address().as_str(), Role::Miner, Stake(1));
    assert_eq!(code(as_other.register(stranger).await), "consent_missing");
    as_owner.leave(node.address()).await.unwrap();
    assert_eq!(chain.balance(owner.address()).await.unwrap(), Stake(95));
}

#[tokio::test]
async fn a_rotated_key_keeps_place_stake_and_what_was_said_of_it() {
    let (chain, subnet) = crowded().await;
    let (owner, old, new, third) = (key(1), key(2), key(3), key(4));
    chain.fund(owner.address(), Stake(100)).unwrap();
    let as_owner = subnet.with_signer(owner.clone());
    let before = as_owner
        .register_node(&*old, Role::Miner, Stake(40))
        .await
        .unwrap();
    join(&subnet, "v1", Role::Validator, 10).await.unwrap();
    chain.advance(7).unwrap();
    let weights = Weights::new([(old.address().clone(), 1)]).unwrap();
    subnet
        .submit_weights("w".into(), &"v1".into(), EpochId(0), weights)
        .await
        .unwrap();
    assert_eq!(
        code(
            subnet
                .with_signer(third.clone())
                .rotate_key(old.address(), &*third)
                .await
        ),
        "unknown_account"
    );
    let after = as_owner.rotate_key(old.address(), &*new).await.unwrap();
    assert_eq!(&after.node, new.address());
    assert_eq!(
        (after.stake, after.active_since, &after.owner),
        (before.stake, before.active_since, &before.owner)
    );
    assert_eq!(
        code(as_owner.rotate_key(new.address(), &*third).await),
        "rotated_already"
    );
    assert_eq!(code(as_owner.leave(old.address()).await), "unknown_member");
    chain.advance(3).unwrap();
    assert_eq!(
        subnet.payouts(EpochId(0)).await.unwrap(),
        [(new.address().clone(), Stake(100))]
    );
    assert_eq!(
        chain.balance(owner.address()).await.unwrap(),
        Stake(155),
        "the owner was paid"
    );
    as_owner.rotate_key(new.address(), &*third).await.unwrap();
}
