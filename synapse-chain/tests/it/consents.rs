use synapse_chain::{Call, ChainId, Consent, LocalChain, LocalSubnet, Outcome, Transaction};
use synapse_core::{
    BlockNumber, Endpoint, NodeId, Registration, Role, Stake, Subnet, SubnetId,
    keys::{Keypair, Signer as _},
};

use crate::{
    code, key,
    transactions::{funded, submit},
};

/// The last block of a consent.
const UNTIL: BlockNumber = BlockNumber(20);

async fn registering(
    chain: &LocalChain,
    subnet: &LocalSubnet,
    owner: &Keypair,
    consent: Option<Consent>,
) -> String {
    let transaction = Transaction {
        chain: chain.id().clone(),
        account: owner.address().clone(),
        nonce: chain.account(owner.address()).await.unwrap().next_nonce,
        valid_until: BlockNumber(chain.block().0 + 1),
        salt: 0,
        call: Call::Register {
            subnet: subnet.id(),
            node: key(2).address().clone(),
            role: Role::Miner,
            stake: Stake(1),
            consent,
        },
    };
    let outcome = submit(chain, &transaction, owner).await;
    match outcome.and_then(Outcome::into_result) {
        Ok(_) => "done".to_owned(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

#[tokio::test]
async fn nobody_registers_a_key_that_did_not_agree_to_just_this() {
    let (chain, alice) = funded();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let (node, me, here) = (key(2), alice.address(), chain.id());
    let consent = async |signer: &Keypair, chain: &ChainId, subnet: u64, owner: &NodeId, role: Role| {
        let consent = Consent::to_register(signer, chain, SubnetId(subnet), owner, role, UNTIL).await;
        Some(consent.unwrap())
    };
    let elsewhere = ChainId::new("another");
    for bad in [
        consent(&key(3), here, 7, me, Role::Miner).await,
        consent(&node, &elsewhere, 7, me, Role::Miner).await,
        consent(&node, here, 8, me, Role::Miner).await,
        consent(&node, here, 7, key(3).address(), Role::Miner).await,
        consent(&node, here, 7, me, Role::Validator).await,
    ] {
        assert_eq!(registering(&chain, &subnet, &alice, bad).await, "bad_consent");
    }
    assert_eq!(
        registering(&chain, &subnet, &alice, None).await,
        "consent_missing"
    );
    let good = consent(&node, here, 7, me, Role::Miner).await;
    assert_eq!(registering(&chain, &subnet, &alice, good.clone()).await, "done");
    let as_owner = subnet.with_signer(alice.clone());
    as_owner.leave(node.address()).await.unwrap();
    chain.advance(UNTIL.0).unwrap();
    assert_eq!(
        registering(&chain, &subnet, &alice, good.clone()).await,
        "done",
        "until its last block"
    );
    as_owner.leave(node.address()).await.unwrap();
    chain.advance(1).unwrap();
    assert_eq!(
        registering(&chain, &subnet, &alice, good).await,
        "consent_expired"
    );
    let forever = BlockNumber(chain.block().0 + 1_025);
    let consent = Consent::to_register(&*node, here, SubnetId(7), me, Role::Miner, forever).await;
    assert_eq!(
        registering(&chain, &subnet, &alice, Some(consent.unwrap())).await,
        "consent_too_long"
    );
}

#[tokio::test]
async fn what_concerns_a_node_is_signed_by_the_node() {
    let (chain, alice) = funded();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    let node = key(2);
    let as_owner = subnet.with_signer(alice.clone());
    as_owner
        .register_node(&*node, Role::Miner, Stake(1))
        .await
        .unwrap();
    let endpoint = Endpoint::http("http://127.0.0.1:8091").unwrap();
    assert_eq!(
        code(as_owner.serve(node.address(), endpoint.clone().into()).await),
        "not_the_node"
    );
    let as_node = subnet.with_signer(node.clone());
    as_node.serve(node.address(), endpoint.into()).await.unwrap();
    assert_eq!(code(as_node.leave(node.address()).await), "not_the_owner");
    let own = Registration::new(alice.address().as_str(), Role::Validator, Stake(1));
    as_owner.register(own).await.unwrap();
    assert_eq!(subnet.directory().current().members().len(), 2);
}
