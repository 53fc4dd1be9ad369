use serde_json::Value;
use synapse_chain::LocalChain;
use synapse_core::{Endpoint, Role, Stake, Subnet, SubnetId, keys::Signer};

use crate::{
    funds, key,
    process::{Plan, devchain, verify},
};

#[tokio::test]
async fn a_chain_is_shown_as_a_table_and_as_json() {
    let data = tempfile::tempdir().unwrap();
    let alice = key("//Alice");
    let flags = ["--block-time=20ms", "--subnet=3", "--subnet=7"].map(str::to_owned);
    let mut plan = Plan::new(data.path(), flags.into_iter().chain(funds(&[&alice])));
    let chain = plan.start().await;
    let remote = LocalChain::connect(&chain.url)
        .await
        .unwrap()
        .with_signer(alice.clone());
    let subnet = remote.subnet(SubnetId(7)).await.unwrap();
    subnet
        .register_node(&*alice, Role::Miner, Stake(25))
        .await
        .unwrap();
    let endpoint = Endpoint::http("http://127.0.0.1:8091").unwrap();
    subnet.serve(alice.address(), endpoint.into()).await.unwrap();

    let text = status(&[&format!("--chain={}", chain.url)]).await;
    for wanted in [
        "subnet 3",
        "subnet 7",
        alice.address().as_str(),
        "miner",
        "25",
        "http://127.0.0.1:8091",
    ] {
        assert!(text.contains(wanted), "{wanted} is in\n{text}");
    }
    let document = status(&[&format!("--chain={}", chain.url), "--json"]).await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["chain"], remote.id().as_str());
    assert_eq!(document["subnets"][1]["members"][0]["stake"], 25);
    chain.signal(rustix::process::Signal::TERM);
    assert!(chain.ended().await);
    assert!(
        verify(data.path())
            .await
            .unwrap()
            .contains("blocks give the state")
    );
}

#[tokio::test]
async fn without_a_chain_status_says_so() {
    let output = devchain()
        .args(["status", "--chain", "http://127.0.0.1:9"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no connection to the chain"), "{said}");
}

async fn status(flags: &[&str]) -> String {
    let output = devchain().arg("status").args(flags).output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
