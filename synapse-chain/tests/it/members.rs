use synapse_chain::{Call, LocalChain};
use synapse_core::{Endpoint, NodeId, Registration, Role, Serving, Stake, Subnet, SubnetId, SubnetParams};

use crate::{code, small};

fn miner(node: &str, stake: u64) -> Registration {
    Registration::new(node, Role::Miner, Stake(stake))
}

#[tokio::test]
async fn stake_leaves_the_account_and_comes_back() {
    let (chain, subnet) = small().await;
    let m1 = NodeId::from("m1");
    chain.advance(4).unwrap();
    assert_eq!(subnet.register(miner("m1", 40)).await.unwrap().active_since.0, 4);
    assert_eq!(chain.balance(&m1).await.unwrap(), Stake(60));
    subnet.register(miner("m1", 25)).await.unwrap();
    assert_eq!(
        chain.balance(&m1).await.unwrap(),
        Stake(75),
        "registering again changes the stake"
    );
    assert_eq!(
        code(subnet.register(miner("m1", 101)).await),
        "insufficient_balance"
    );
    subnet.leave(&m1).await.unwrap();
    assert_eq!(chain.balance(&m1).await.unwrap(), Stake(100));
    assert!(subnet.directory().current().members().is_empty());
}

#[tokio::test]
async fn the_directory_is_followed() {
    let (_chain, subnet) = small().await;
    let mut directory = subnet.directory();
    assert!(directory.next().await.unwrap().members().is_empty());
    subnet.register(miner("m2", 10)).await.unwrap();
    subnet.register(miner("m1", 10)).await.unwrap();
    let seen = directory.next().await.unwrap();
    assert_eq!(
        seen.members()
            .iter()
            .map(|member| member.node.as_str())
            .collect::<Vec<_>>(),
        ["m1", "m2"]
    );
    assert_eq!(seen.miners().count(), 0, "nobody serves yet");
    subnet
        .serve(
            &"m1".into(),
            Endpoint::http("http://127.0.0.1:8091").unwrap().into(),
        )
        .await
        .unwrap();
    assert_eq!(directory.next().await.unwrap().miners().count(), 1);
}

#[tokio::test]
async fn a_member_says_what_it_can_do_until_it_says_otherwise() {
    let (chain, subnet) = small().await;
    let m1 = NodeId::from("m1");
    subnet.register(miner("m1", 10)).await.unwrap();
    let serving = Serving::new(Endpoint::http("http://127.0.0.1:8091").unwrap());
    let digest = format!("sha256:{}", "0a".repeat(32));
    let told = subnet
        .serve(&m1, serving.clone().with_capabilities(&*digest))
        .await;
    told.unwrap();
    let listed = || {
        subnet
            .directory()
            .current()
            .get(&m1)
            .unwrap()
            .capabilities
            .clone()
    };
    assert_eq!(listed(), Some(digest.clone()));
    for bad in [
        "",
        "sha256:",
        &digest[7..],
        &digest.to_uppercase(),
        &format!("{digest}0"),
        "md5:00",
    ] {
        let told = subnet.serve(&m1, serving.clone().with_capabilities(bad)).await;
        assert_eq!(code(told), "bad_digest", "{bad}");
    }
    assert_eq!(listed(), Some(digest));
    subnet.serve(&m1, serving).await.unwrap();
    assert_eq!(listed(), None, "what it told before is told anew");
    drop(chain);
}

/// Blocks of before there were digests hold such calls: what was signed, and what the blocks' hashes cover, stays.
#[test]
fn a_call_without_a_digest_is_written_as_ever() {
    let call = Call::Serve {
        subnet: SubnetId(7),
        node: "m1".into(),
        endpoint: Endpoint::http("http://127.0.0.1:8091").unwrap(),
        capabilities: None,
    };
    let written = r#"{"type":"serve","subnet":7,"node":"m1","endpoint":"http://127.0.0.1:8091"}"#;
    assert_eq!(serde_json::to_string(&call).unwrap(), written);
    assert_eq!(serde_json::from_str::<Call>(written).unwrap(), call);
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let (chain, subnet) = small().await;
    for node in ["m1", "m2", "m3"] {
        subnet.register(miner(node, 10)).await.unwrap();
    }
    let before = subnet.directory().current();
    assert_eq!(
        code(
            subnet
                .register(Registration::new("v", Role::Validator, Stake(50)))
                .await
        ),
        "subnet_full"
    );
    assert_eq!(code(subnet.register(miner("m1", 9)).await), "insufficient_stake");
    assert_eq!(
        code(
            subnet
                .register(Registration::new("m1", Role::Validator, Stake(50)))
                .await
        ),
        "role_taken"
    );
    assert_eq!(code(subnet.leave(&"nobody".into()).await), "unknown_member");
    let endpoint = Endpoint::http("http://127.0.0.1:1").unwrap();
    assert_eq!(
        code(subnet.serve(&"nobody".into(), endpoint.into()).await),
        "unknown_member"
    );
    assert_eq!(code(chain.fund(&"v".into(), Stake(u64::MAX))), "amount_overflow");
    assert_eq!(*before, *subnet.directory().current());
    assert_eq!(chain.balance(&"v".into()).await.unwrap(), Stake(100));
}

#[tokio::test]
async fn subnets_have_an_id_and_a_rhythm_of_their_own() {
    let chain = LocalChain::in_memory();
    chain.create_subnet(SubnetId(1), SubnetParams::default()).unwrap();
    assert_eq!(
        code(chain.create_subnet(SubnetId(1), SubnetParams::default())),
        "subnet_exists"
    );
    let mut params = SubnetParams::default();
    params.weighing_blocks = params.epoch_blocks;
    assert_eq!(code(chain.create_subnet(SubnetId(2), params)), "bad_params");
    assert_eq!(code(chain.subnet(SubnetId(2)).await), "unknown_subnet");
}
