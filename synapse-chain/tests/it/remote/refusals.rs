//! What a chain says to those who ask badly, over plain HTTP.

use std::sync::Arc;

use serde_json::{Value, json};
use synapse_chain::{Call, ChainId, SignedTransaction, Transaction};
use synapse_core::{BlockNumber, Stake, keys::Signer as _};

use super::{Served, key};

impl Served {
    /// Status and code of what is said to a body.
    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        said(client().post(format!("{}{path}", self.url())).body(body)).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        said(client().get(format!("{}{path}", self.url()))).await
    }

    /// A transfer by `//Alice`, but for what `change` makes of it.
    async fn signed(&self, change: impl FnOnce(&mut Transaction)) -> SignedTransaction {
        let alice = key("//Alice");
        let mut transaction = Transaction {
            chain: self.chain.id().clone(),
            account: alice.address().clone(),
            nonce: self.chain.account(alice.address()).await.unwrap().next_nonce,
            valid_until: BlockNumber(self.chain.block().0 + 100),
            salt: 0,
            call: Call::Transfer {
                to: key("//Bob").address().clone(),
                amount: Stake(1),
            },
        };
        change(&mut transaction);
        transaction.sign(&*alice).await.unwrap()
    }

    async fn submit(&self, transaction: &SignedTransaction) -> (u16, String) {
        self.post("/v1/transactions", serde_json::to_vec(transaction).unwrap())
            .await
    }
}

/// A client without TLS, which nothing here speaks.
fn client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy();
    client.build().unwrap()
}

async fn said(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    assert!(
        response.headers().contains_key("x-synapse-chain"),
        "every reply says whose it is"
    );
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).expect("every reply is JSON");
    if status >= 400 {
        assert!(
            body["error"]["kind"].is_string() && body["error"]["message"].is_string(),
            "{body}"
        );
    }
    (status, body["error"]["code"].as_str().unwrap_or("ok").to_owned())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn transactions_are_refused_by_code() {
    let served = Served::new(|api| api).await;
    let good = served.signed(|_| {}).await;
    let mut forged = serde_json::to_value(&good).unwrap();
    forged["body"] = json!(good.body().replace("\"amount\":1", "\"amount\":2"));
    let forged: SignedTransaction = serde_json::from_value(forged).unwrap();
    assert_eq!(served.submit(&forged).await, is(401, "bad_signature"));
    for (status, code, change) in [
        (
            400,
            "wrong_chain",
            (&|tx: &mut Transaction| tx.chain = ChainId::new("another")) as &dyn Fn(&mut Transaction),
        ),
        (400, "transaction_expired", &|tx| tx.valid_until = BlockNumber(0)),
        (400, "valid_too_long", &|tx| {
            tx.valid_until = BlockNumber(u64::MAX);
        }),
        (400, "nonce_gap", &|tx| tx.nonce += 1_000),
    ] {
        let transaction = served.signed(change).await;
        assert_eq!(served.submit(&transaction).await, is(status, code));
    }
    assert_eq!(served.submit(&good).await, is(200, "ok"));
    assert_eq!(served.submit(&good).await, is(200, "ok"));
    let other = served.signed(|tx| (tx.nonce, tx.salt) = (0, 1)).await;
    assert_eq!(served.submit(&other).await, is(400, "transaction_replayed"));
    let receipt = served.get(&format!("/v1/transactions/{}", good.hash())).await;
    assert_eq!(receipt, is(200, "ok"));

    let stranger = key("//nobody");
    let mut transaction: Transaction = serde_json::from_str(good.body()).unwrap();
    (transaction.account, transaction.nonce) = (stranger.address().clone(), 0);
    transaction.valid_until = BlockNumber(served.chain.block().0 + 100);
    let unknown = transaction.sign(&*stranger).await.unwrap();
    assert_eq!(served.submit(&unknown).await, is(404, "unknown_account"));
}

#[tokio::test]
async fn bodies_that_are_no_transaction_are_refused() {
    let served = Served::new(|api| api).await;
    let long = vec![b' '; 3 << 20];
    for (body, status, code) in [
        (&b"not json"[..], 400, "malformed_body"),
        (b"", 400, "malformed_body"),
        (br#"{"body":"{}","scheme":"sr25519"}"#, 400, "malformed_body"),
        (
            br#"{"body":"{}","scheme":"none","signature":"0x"}"#,
            400,
            "malformed_body",
        ),
        (
            br#"{"body":"{}","scheme":"sr25519","signature":"0x","fee":1}"#,
            400,
            "malformed_body",
        ),
        (
            br#"{"body":"{}","scheme":"sr25519","signature":"0x"}"#,
            400,
            "malformed_transaction",
        ),
        (&long, 413, "body_too_large"),
    ] {
        let said = served.post("/v1/transactions", body.to_vec()).await;
        assert_eq!(
            said,
            is(status, code),
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(80)])
        );
    }
}

#[tokio::test]
async fn questions_are_refused_by_code() {
    let served = Served::new(|api| api).await;
    let name = "x".repeat(200);
    for (path, status, code) in [
        ("/", 404, "unknown_route"),
        ("/v1/transactions", 405, "method_not_allowed"),
        ("/v1/transactions/12", 400, "malformed_hash"),
        (
            &format!("/v1/transactions/{}", "0".repeat(64)),
            404,
            "unknown_transaction",
        ),
        ("/v1/subnets/x", 400, "bad_number"),
        ("/v1/subnets/8", 404, "unknown_subnet"),
        ("/v1/follow/8", 404, "unknown_subnet"),
        ("/v1/blocks/-1", 400, "bad_number"),
        ("/v1/blocks/1", 404, "unknown_block"),
        ("/v1/blocks/1/head", 404, "unknown_block"),
        (&format!("/v1/accounts/{name}"), 400, "malformed_address"),
        ("/v1/accounts/nobody", 200, "ok"),
        ("/v1/chain", 200, "ok"),
        ("/v1/subnets/7", 200, "ok"),
    ] {
        assert_eq!(served.get(path).await, is(status, code), "{path}");
    }
}

#[tokio::test]
async fn the_faucet_gives_once_an_account_and_to_so_many() {
    let dry = Served::new(|api| api).await;
    let [a, b, c] = ["//a", "//b", "//c"].map(|uri| key(uri).address().clone());
    let wish = |account: &str| json!({"account": account}).to_string();
    let said = dry.post("/v1/faucet", wish(a.as_str())).await;
    assert_eq!(said, is(403, "no_faucet"));
    let served = Served::new(|api| api.faucet(Stake(30), 2)).await;
    let ask = async |account: &str| served.post("/v1/faucet", wish(account)).await;
    assert_eq!(served.post("/v1/faucet", "{}").await, is(400, "malformed_body"));
    assert_eq!(ask("a").await, is(400, "malformed_address"));
    let rich = key("//Bob").address().clone();
    assert_eq!(ask(rich.as_str()).await, is(429, "faucet_dry"));
    assert_eq!(ask(a.as_str()).await, is(200, "ok"));
    assert_eq!(ask(a.as_str()).await, is(429, "faucet_dry"));
    assert_eq!(ask(b.as_str()).await, is(200, "ok"));
    assert_eq!(ask(c.as_str()).await, is(429, "faucet_dry"));
    assert_eq!(served.chain.balance(&a).await.unwrap(), Stake(30));
    assert_eq!(served.chain.balance(&c).await.unwrap(), Stake(0));
}
