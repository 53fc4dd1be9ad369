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

/// Three validators of 900 and two miners in a subnet without a free place; weights for `m1` were submitted.
async fn judged(immunity: u64) -> (LocalChain, LocalSubnet) {
    let chain = LocalChain::in_memory();
    let params = SubnetParams::default()
        .with_epochs(10, 3)
        .with_max_members(5)
        .with_emission(Stake(1_000))
        .with_immunity(immunity)
        .with_min_stakes(Stake(10), Stake(10));
    chain.create_subnet(SubnetId(7), params).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    for (node, role, stake) in [
        ("v1", Role::Validator, 900),
        ("v2", Role::Validator, 900),
        ("v3", Role::Validator, 900),
        ("m1", Role::Miner, 10),
        ("m2", Role::Miner, 10),
    ] {
        chain.fund(&node.into(), Stake(1_000)).unwrap();
        join(&subnet, node, role, stake).await.unwrap();
    }
    chain.advance(9).unwrap();
    for validator in ["v1", "v2", "v3"] {
        let weights = Weights::new([("m1".into(), 1)]).unwrap();
        subnet
            .submit_weights("w".into(), &validator.into(), EpochId(0), weights)
            .await
            .unwrap();
    }
    (chain, subnet)
}

#[tokio::test]
async fn the_same_stake_does_not_drive_out_one_validator_after_another() {
    let (chain, subnet) = judged(1).await;
    let owner = key(9);
    chain.fund(owner.address(), Stake(1_000)).unwrap();
    let as_owner = subnet.with_signer(owner.clone());
    let (evil, another) = (key(20), key(21));
    as_owner
        .register_node(&*evil, Role::Validator, Stake(901))
        .await
        .unwrap();
    let lowered = as_owner.register_node(&*evil, Role::Validator, Stake(10)).await;
    assert_eq!(code(lowered), "stake_bound");
    assert_eq!(code(as_owner.leave(evil.address()).await), "stake_bound");
    let again = as_owner
        .register_node(&*another, Role::Validator, Stake(901))
        .await;
    assert_eq!(code(again), "insufficient_balance");
    as_owner
        .register_node(&*evil, Role::Validator, Stake(950))
        .await
        .unwrap();
    chain.advance(1).unwrap();
    assert_eq!(
        subnet.payouts(EpochId(0)).await.unwrap(),
        [("m1".into(), Stake(1_000))],
        "the others have their say"
    );
    as_owner
        .register_node(&*evil, Role::Validator, Stake(10))
        .await
        .unwrap();
    as_owner.leave(evil.address()).await.unwrap();
    assert_eq!(chain.balance(owner.address()).await.unwrap(), Stake(1_000));
}

#[tokio::test]
async fn a_place_that_was_taken_is_not_taken_again_in_the_same_epoch() {
    let (chain, subnet) = judged(0).await;
    for (node, stake) in [("evil", 2_000), ("more", 2_001)] {
        chain.fund(&node.into(), Stake(stake)).unwrap();
    }
    join(&subnet, "evil", Role::Validator, 901).await.unwrap();
    join(&subnet, "more", Role::Validator, 902).await.unwrap();
    assert_eq!(
        members(&subnet),
        ["evil", "m1", "m2", "more", "v3"],
        "both are paid for"
    );
    chain.advance(1).unwrap();
    chain.fund(&"last".into(), Stake(2_000)).unwrap();
    join(&subnet, "last", Role::Validator, 901).await.unwrap();
    assert_eq!(members(&subnet), ["evil", "last", "m1", "m2", "more"]);
}

#[tokio::test]
async fn a_miner_that_earns_nothing_any_more_loses_its_place() {
    let chain = LocalChain::in_memory();
    let params = SubnetParams::default()
        .with_epochs(10, 3)
        .with_max_members(4)
        .with_emission(Stake(1_000))
        .with_immunity(0);
    chain.create_subnet(SubnetId(7), params).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    for (node, role, stake) in [
        ("v", Role::Validator, 900),
        ("w", Role::Validator, 1),
        ("m1", Role::Miner, 500),
        ("m2", Role::Miner, 1),
    ] {
        chain.fund(&node.into(), Stake(stake)).unwrap();
        join(&subnet, node, role, stake).await.unwrap();
    }
    let weigh = async |validator: &str, epoch: u64, miner: &str| {
        let weights = Weights::new([(miner.into(), 1)]).unwrap();
        let id = format!("{validator}-{epoch}");
        subnet
            .submit_weights((*id).into(), &validator.into(), EpochId(epoch), weights)
            .await
            .unwrap();
    };
    for (epoch, by_majority) in [(0, "m1"), (1, "m2")] {
        chain.advance(7).unwrap();
        weigh("v", epoch, by_majority).await;
        weigh("w", epoch, "m1").await;
        chain.advance(3).unwrap();
        let paid = subnet.payouts(EpochId(epoch)).await.unwrap();
        assert_eq!(paid, [(by_majority.into(), Stake(1_000))]);
    }
    join(&subnet, "m3", Role::Miner, 0).await.unwrap();
    assert_eq!(members(&subnet), ["m2", "m3", "v", "w"]);
}

#[tokio::test]
async fn miners_do_not_lock_validators_out() {
    let chain = LocalChain::in_memory();
    let params = SubnetParams::default()
        .with_max_members(8)
        .with_immunity(10)
        .with_min_stakes(Stake(0), Stake(20));
    chain.create_subnet(SubnetId(7), params).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    for validator in ["v1", "v2", "v3", "v4"] {
        chain.fund(&validator.into(), Stake(100)).unwrap();
    }
    chain.fund(&"m8".into(), Stake(90)).unwrap();
    for number in 1..8 {
        join(&subnet, &format!("m{number}"), Role::Miner, 0)
            .await
            .unwrap();
    }
    join(&subnet, "m8", Role::Miner, 90).await.unwrap();
    assert_eq!(
        code(join(&subnet, "v1", Role::Validator, 100).await),
        "subnet_full",
        "all of them are immune"
    );
    chain.advance(10).unwrap();
    assert_eq!(
        code(join(&subnet, "v1", Role::Validator, 19).await),
        "subnet_full",
        "it may not weigh"
    );
    join(&subnet, "v1", Role::Validator, 20).await.unwrap();
    join(&subnet, "v2", Role::Validator, 20).await.unwrap();
    assert_eq!(members(&subnet), ["m3", "m4", "m5", "m6", "m7", "m8", "v1", "v2"]);
    assert_eq!(
        code(join(&subnet, "v3", Role::Validator, 100).await),
        "subnet_full",
        "a quarter of the places, and the validators are new"
    );
}

#[tokio::test]
async fn a_subnet_has_no_more_members_than_followers_take() {
    let chain = LocalChain::in_memory();
    let of = |members: usize| SubnetParams::default().with_max_members(members);
    let most = SubnetParams::MOST_MEMBERS;
    chain.create_subnet(SubnetId(1), of(most)).unwrap();
    assert_eq!(code(chain.create_subnet(SubnetId(2), of(most + 1))), "bad_params");
}
