use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{EpochId, Error, Registration, Role, Stake, Subnet, Weights};

use crate::{code, small};

/// As [`small`], with a validator and two miners, in the phase that takes weights of epoch 0.
async fn weighing() -> (LocalChain, LocalSubnet) {
    let (chain, subnet) = small().await;
    subnet
        .register(Registration::new("v", Role::Validator, Stake(50)))
        .await
        .unwrap();
    for node in ["m1", "m2"] {
        subnet
            .register(Registration::new(node, Role::Miner, Stake(10)))
            .await
            .unwrap();
    }
    chain.advance(7).unwrap();
    (chain, subnet)
}

fn weights(of: &[(&str, u16)]) -> Weights {
    Weights::new(of.iter().map(|(node, value)| ((*node).into(), *value))).unwrap()
}

async fn submit(
    subnet: &LocalSubnet,
    operation: &str,
    who: &str,
    epoch: u64,
    of: &[(&str, u16)],
) -> Result<(), Error> {
    subnet
        .submit_weights(operation.into(), &who.into(), EpochId(epoch), weights(of))
        .await
}

#[tokio::test]
async fn the_same_operation_twice_has_its_effect_once() {
    let (_chain, subnet) = weighing().await;
    submit(&subnet, "a", "v", 0, &[("m1", 3), ("m2", 1)])
        .await
        .unwrap();
    submit(&subnet, "b", "v", 0, &[("m1", 1)]).await.unwrap();
    submit(&subnet, "a", "v", 0, &[("m2", 1), ("m1", 3)])
        .await
        .unwrap();
    assert_eq!(
        subnet.weights(EpochId(0)).await.unwrap(),
        [("v".into(), weights(&[("m1", 1)]))],
        "the last submission counts"
    );
    assert_eq!(
        code(submit(&subnet, "a", "v", 0, &[("m1", 9)]).await),
        "operation_reused"
    );
}

#[tokio::test]
async fn a_repetition_after_the_epoch_succeeds_and_a_new_one_does_not() {
    let (chain, subnet) = weighing().await;
    submit(&subnet, "a", "v", 0, &[("m1", 3)]).await.unwrap();
    chain.advance(5).unwrap();
    submit(&subnet, "a", "v", 0, &[("m1", 3)]).await.unwrap();
    assert_eq!(
        code(submit(&subnet, "b", "v", 0, &[("m1", 3)]).await),
        "epoch_closed"
    );
    assert_eq!(
        code(submit(&subnet, "b", "v", 1, &[("m1", 3)]).await),
        "epoch_closed"
    );
    chain.advance(10 * 20).unwrap();
    assert!(
        subnet.weights(EpochId(0)).await.unwrap().is_empty(),
        "old epochs are forgotten"
    );
}

#[tokio::test]
async fn operations_are_a_validators_own_and_bounded() {
    let (chain, subnet) = weighing().await;
    subnet.leave(&"m2".into()).await.unwrap();
    subnet
        .register(Registration::new("m3", Role::Validator, Stake(50)))
        .await
        .unwrap();
    submit(&subnet, "a", "v", 0, &[("m1", 1)]).await.unwrap();
    submit(&subnet, "a", "m3", 0, &[("m1", 2)]).await.unwrap();
    for number in 1..64 {
        submit(&subnet, &format!("more-{number}"), "v", 0, &[("m1", number)])
            .await
            .unwrap();
    }
    assert_eq!(
        code(submit(&subnet, "one-more", "v", 0, &[("m1", 1)]).await),
        "too_many_submissions"
    );
    submit(&subnet, "a", "v", 0, &[("m1", 1)]).await.unwrap();
    submit(&subnet, "b", "m3", 0, &[("m1", 3)]).await.unwrap();
    chain.advance(10).unwrap();
    submit(&subnet, "next", "v", 1, &[("m1", 1)]).await.unwrap();
}

#[tokio::test]
async fn only_validators_with_stake_weigh_only_members() {
    let (_chain, subnet) = weighing().await;
    assert_eq!(
        code(submit(&subnet, "a", "nobody", 0, &[("m1", 1)]).await),
        "unknown_member"
    );
    assert_eq!(
        code(submit(&subnet, "a", "m1", 0, &[("m2", 1)]).await),
        "may_not_weigh"
    );
    assert_eq!(
        code(submit(&subnet, "a", "v", 0, &[("m1", 1), ("m9", 1)]).await),
        "unknown_member"
    );
    subnet
        .register(Registration::new("v", Role::Validator, Stake(49)))
        .await
        .unwrap();
    assert_eq!(
        code(submit(&subnet, "a", "v", 0, &[("m1", 1)]).await),
        "may_not_weigh"
    );
    assert!(subnet.weights(EpochId(0)).await.unwrap().is_empty());
}
