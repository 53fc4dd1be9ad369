//! What holds of a handle in the process that keeps the chain, and of one in another process.

use std::time::Duration;

use synapse_chain::{Call, LocalChain, LocalSubnet, Transaction};
use synapse_core::{
    BlockNumber, Endpoint, Epoch, EpochId, NodeId, Phase, Role, Stake, Subnet, SubnetId, Weights,
    keys::Signer as _,
};
use tokio::time::timeout;

use super::{Served, equip, key};
use crate::code;

/// Runs a behaviour with a chain in this process, kept in a directory, and with the same over HTTP.
async fn on_both(behaviour: impl AsyncFn(LocalChain)) {
    let data = tempfile::tempdir().unwrap();
    let kept = |name: &str| {
        let builder = LocalChain::builder().store(data.path().join(name));
        builder.block_time(Duration::from_millis(5)).build().unwrap()
    };
    let here = kept("here");
    equip(&here);
    behaviour(here).await;
    let served = Served::of(kept("there"), |api| api).await;
    behaviour(served.connect().await).await;
}

async fn alices(chain: &LocalChain) -> LocalSubnet {
    let chain = chain.with_signer(key("//Alice"));
    chain.subnet(SubnetId(7)).await.unwrap()
}

/// Waits until what is followed is so.
async fn until<T>(mut watch: synapse_core::Watch<T>, so: impl Fn(&T) -> bool) {
    let waiting = async { while !so(&*watch.next().await.expect("the chain is there")) {} };
    timeout(Duration::from_secs(10), waiting)
        .await
        .expect("it comes to be so");
}

#[tokio::test]
async fn members_come_serve_rotate_and_go() {
    on_both(async |chain| {
        let subnet = alices(&chain).await;
        let (owner, node, new) = (key("//Alice"), key("//miner"), key("//miner//2"));
        let member = subnet
            .register_node(&*node, Role::Miner, Stake(100))
            .await
            .unwrap();
        assert_eq!(
            (member.owner, member.stake),
            (owner.address().clone(), Stake(100))
        );
        assert_eq!(chain.balance(owner.address()).await.unwrap(), Stake(9_900));
        assert_eq!(chain.subnets().await.unwrap(), [SubnetId(7)]);

        // The owner has no say in where the node is; the node needs no funds to say it.
        let endpoint = Endpoint::http("http://127.0.0.1:8091").unwrap();
        assert_eq!(
            code(subnet.serve(node.address(), endpoint.clone().into()).await),
            "not_the_node"
        );
        let nodes_own = subnet.with_signer(node.clone());
        nodes_own
            .serve(node.address(), endpoint.clone().into())
            .await
            .unwrap();
        until(subnet.directory(), |directory| {
            let member = directory.get(node.address());
            member.is_some_and(|member| member.endpoint.as_ref() == Some(&endpoint))
        })
        .await;

        let rotated = subnet.rotate_key(node.address(), &*new).await.unwrap();
        assert_eq!(
            (&rotated.node, rotated.active_since),
            (new.address(), member.active_since)
        );
        subnet.leave(new.address()).await.unwrap();
        until(subnet.directory(), |directory| directory.members().is_empty()).await;
        assert_eq!(chain.balance(owner.address()).await.unwrap(), Stake(10_000));
    })
    .await;
}

#[tokio::test]
async fn weights_are_taken_once_and_paid_for() {
    on_both(async |chain| {
        let subnet = alices(&chain).await;
        let (validator, miner) = (key("//Alice"), key("//miner"));
        subnet
            .register_node(&*validator, Role::Validator, Stake(60))
            .await
            .unwrap();
        subnet
            .register_node(&*miner, Role::Miner, Stake(10))
            .await
            .unwrap();
        let weights = |value| Weights::new([(miner.address().clone(), value)]).unwrap();
        // As late as an epoch begins, there is time to submit twice.
        let begins = |epoch: &Epoch| epoch.phase == Phase::Serving && epoch.id.0 > 0;
        until(subnet.epochs(), begins).await;
        until(subnet.epochs(), |epoch| epoch.phase == Phase::Weighing).await;
        let epoch = subnet.epochs().current().id;
        let submit = |operation: &'static str, epoch, value| {
            let (subnet, validator) = (subnet.clone(), validator.address().clone());
            async move {
                subnet
                    .submit_weights(operation.into(), &validator, epoch, weights(value))
                    .await
            }
        };
        submit("a", epoch, 3).await.unwrap();
        submit("a", epoch, 3).await.unwrap();
        assert_eq!(code(submit("a", epoch, 4).await), "operation_reused");
        assert_eq!(code(submit("b", EpochId(epoch.0 + 9), 4).await), "epoch_closed");
        assert_eq!(
            subnet.weights(epoch).await.unwrap(),
            [(validator.address().clone(), weights(3))]
        );
        until(subnet.epochs(), |now| now.id > epoch).await;
        subnet.payouts(epoch).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_is_refused_alike() {
    on_both(async |chain| {
        let subnet = alices(&chain).await;
        let (alice, stranger) = (key("//Alice"), key("//nobody"));
        let poor = chain.with_signer(stranger.clone());
        let to: NodeId = key("//Bob").address().clone();
        let codes = [
            code(chain.subnet(SubnetId(8)).await),
            code(
                chain
                    .with_signer(alice.clone())
                    .transfer(&to, Stake(99_999))
                    .await,
            ),
            code(poor.transfer(&to, Stake(1)).await),
            code(chain.transfer(&to, Stake(1)).await),
            code(subnet.register_node(&*stranger, Role::Miner, Stake(1)).await),
            code(subnet.leave(stranger.address()).await),
        ];
        let wanted = [
            "unknown_subnet",
            "insufficient_balance",
            "unknown_account",
            "no_signer",
            "insufficient_stake",
            "unknown_member",
        ];
        assert_eq!(codes, wanted);
        assert_eq!(chain.balance(alice.address()).await.unwrap(), Stake(10_000));
    })
    .await;
}

#[tokio::test]
async fn a_transaction_takes_effect_once_and_keeps_its_receipt() {
    on_both(async |chain| {
        let (alice, bob) = (key("//Alice"), key("//Bob"));
        let transaction = Transaction {
            chain: chain.id().clone(),
            account: alice.address().clone(),
            nonce: chain.account(alice.address()).await.unwrap().next_nonce,
            valid_until: BlockNumber(chain.block().0 + 100),
            salt: 0,
            call: Call::Transfer {
                to: bob.address().clone(),
                amount: Stake(5),
            },
        };
        let signed = transaction.sign(&*alice).await.unwrap();
        assert_eq!(chain.receipt(&signed.hash()).await.unwrap(), None);
        let receipt = chain.submit(signed.clone()).await.unwrap();
        let kept = chain.receipt(&signed.hash()).await.unwrap();
        assert_eq!(kept, Some(receipt.clone()));
        assert_eq!(chain.submit(signed).await.unwrap(), receipt, "the same bytes");
        let other = Transaction {
            salt: 1,
            ..transaction
        };
        let other = other.sign(&*alice).await.unwrap();
        assert_eq!(code(chain.submit(other).await), "transaction_replayed");
        assert_eq!(chain.balance(bob.address()).await.unwrap(), Stake(10_005));
    })
    .await;
}

#[tokio::test]
async fn two_handles_with_one_key_do_not_get_in_each_others_way() {
    on_both(async |chain| {
        let (alice, to) = (key("//Alice"), key("//Bob").address().clone());
        let pay = |chain: LocalChain, to: NodeId| async move {
            for _ in 0..5 {
                chain.transfer(&to, Stake(1)).await.unwrap();
            }
        };
        tokio::join!(
            pay(chain.with_signer(alice.clone()), to.clone()),
            pay(chain.with_signer(alice.clone()), to.clone()),
        );
        assert_eq!(chain.balance(&to).await.unwrap(), Stake(10_010));
    })
    .await;
}
