use redb::{Database, ReadableTable as _, TableDefinition};
use synapse_chain::LocalChain;
use synapse_core::{Endpoint, Subnet, SubnetId, SubnetParams, keys::Signer as _};

use crate::{code, key, store::lived_in};

const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");

#[tokio::test]
async fn an_endpoint_is_the_same_however_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let chain = lived_in(directory.path()).await;
    let node = key(2);
    let transaction = synapse_chain::Transaction {
        chain: chain.id().clone(),
        account: node.address().clone(),
        nonce: 0,
        valid_until: synapse_core::BlockNumber(50),
        salt: 0,
        call: synapse_chain::Call::Serve {
            subnet: SubnetId(7),
            node: node.address().clone(),
            endpoint: Endpoint::http("http://h:1/v1").unwrap(),
            capabilities: None,
        },
    };
    let body = serde_json::to_string(&transaction)
        .unwrap()
        .replace("/v1", "/v1/");
    let signature = node
        .sign(format!("synapse-tx/1\n{body}").as_bytes())
        .await
        .unwrap();
    let signed = serde_json::json!({ "body": body, "scheme": "ed25519", "signature": signature.to_hex() });
    chain
        .submit(serde_json::from_value(signed).unwrap())
        .await
        .unwrap();
    assert_eq!(chain.verify().unwrap(), 5);
}

#[tokio::test]
async fn a_refusal_may_be_worded_anew() {
    let directory = tempfile::tempdir().unwrap();
    let chain = LocalChain::builder()
        .store(directory.path())
        .seed(3)
        .build()
        .unwrap();
    chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
    let subnet = chain.subnet(SubnetId(7)).await.unwrap();
    assert_eq!(code(subnet.leave(&"nobody".into()).await), "unknown_member");
    drop((chain, subnet));
    let change = |from: &str, to: &str| {
        let database = Database::open(directory.path().join("chain.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut blocks = transaction.open_table(BLOCKS).unwrap();
            let block = String::from_utf8(blocks.get(2).unwrap().unwrap().value().to_vec()).unwrap();
            let changed = block.replace(from, to);
            assert_ne!(changed, block);
            blocks.insert(2, changed.as_bytes()).unwrap();
        }
        transaction.commit().unwrap();
    };
    change("is no member of the subnet", "does not belong to it");
    assert_eq!(LocalChain::open(directory.path()).unwrap().verify().unwrap(), 2);
    change("unknown_member", "unknown_subnet");
    assert_eq!(
        code(LocalChain::open(directory.path()).unwrap().verify()),
        "state_differs"
    );
}
