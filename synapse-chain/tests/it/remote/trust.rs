//! Who is taken for the chain.

use std::{sync::Arc, time::Duration};

use synapse_chain::{
    ChainId, LocalChain,
    remote::{ChainApi, RemoteChainBuilder},
};
use synapse_core::{
    NodeId, Stake, Subnet as _, SubnetId,
    keys::{Keypair, Signer as _},
};
use synapse_http::tls::NodeTls;

use super::{Served, equip, key};
use crate::code;

/// A chain served over https with the key of somebody.
async fn served_by(key: Arc<Keypair>) -> Served {
    let chain = LocalChain::builder()
        .block_time(Duration::from_millis(5))
        .build()
        .unwrap();
    equip(&chain);
    let tls = NodeTls::new(key).await.unwrap();
    Served::at(
        "127.0.0.1:0",
        chain,
        |server| server.tls(tls),
        |api: ChainApi| api,
    )
    .await
}

fn remote(served: &Served) -> RemoteChainBuilder {
    LocalChain::remote(&format!("https://{}", served.address)).patience(Duration::from_secs(5))
}

#[tokio::test]
async fn plain_http_is_for_this_machine() {
    for url in [
        "http://10.0.0.5:9933",
        "http://chain.example:9933",
        "http://0.0.0.0:9933",
    ] {
        assert_eq!(code(LocalChain::connect_lazy(url)), "plain_http_refused", "{url}");
        LocalChain::remote(url)
            .allow_plain_http(true)
            .connect_lazy()
            .unwrap();
    }
    for url in ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"] {
        LocalChain::connect_lazy(url).unwrap();
    }
}

#[tokio::test]
async fn https_and_a_key_belong_together() {
    let https = "https://127.0.0.1:9";
    assert_eq!(code(LocalChain::connect_lazy(https)), "chain_key_missing");
    let key: NodeId = key("//Alice").address().clone();
    let plain = LocalChain::remote("http://127.0.0.1:9").server_key(key);
    assert_eq!(code(plain.connect_lazy()), "key_without_tls");
}

#[tokio::test]
async fn a_chain_with_the_expected_key_is_followed_and_used() {
    let served = served_by(key("//chain")).await;
    let chain = remote(&served)
        .server_key(key("//chain").address().clone())
        .expect_chain(served.chain.id().clone())
        .connect()
        .await
        .unwrap()
        .with_signer(key("//Alice"));
    let bob = key("//Bob").address().clone();
    chain.transfer(&bob, Stake(5)).await.unwrap();
    assert_eq!(chain.balance(&bob).await.unwrap(), Stake(10_005));
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    assert!(subnet.epochs().current().ends.0 > 0);
}

#[tokio::test]
async fn a_man_in_the_middle_is_refused_at_once() {
    let served = served_by(key("//mallory")).await;
    let expected = key("//chain").address().clone();
    let chain = remote(&served).server_key(expected.clone());
    assert_eq!(code(chain.clone().connect().await), "tls_wrong_key");
    let lazy = chain.connect_lazy().unwrap().with_signer(key("//Alice"));
    assert_eq!(code(lazy.transfer(&expected, Stake(5)).await), "tls_wrong_key");

    let plain = Served::new(|api| api).await;
    let chain = remote(&plain).server_key(expected);
    assert_eq!(code(chain.connect().await), "tls_downgraded");
}

#[tokio::test]
async fn a_chain_that_is_expected_by_name_is_the_only_one() {
    let served = Served::new(|api| api).await;
    let url = served.url();
    let expecting = |id| LocalChain::remote(&url).expect_chain(id).connect();
    expecting(served.chain.id().clone()).await.unwrap();
    let refused = expecting(ChainId::new("local-another")).await;
    assert_eq!(code(refused), "another_chain");
}
