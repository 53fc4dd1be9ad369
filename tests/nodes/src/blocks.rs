//! What a chain's blocks say that its nodes did.

use std::net::SocketAddr;

use serde_json::Value;

use crate::get;

/// A call that stands in a block.
#[derive(Debug, Clone)]
pub struct Called {
    /// The block's height.
    pub block: u64,
    /// Who signed it.
    pub account: String,
    /// What was asked: `{"type": "submit_weights", …}`.
    pub call: Value,
    /// Whether it was done; else it was refused.
    pub done: bool,
}

/// Every signed call of a chain's blocks, from the first.
///
/// # Panics
/// Where the chain does not answer, or a block is none.
pub async fn calls(chain: SocketAddr) -> Vec<Called> {
    let head: Value = json(chain, "/v1/chain").await.expect("the chain answers");
    let newest = head["head"]["block"]
        .as_u64()
        .expect("a chain has a newest block");
    let mut calls = Vec::new();
    for height in 1..=newest {
        let block = json(chain, &format!("/v1/blocks/{height}"))
            .await
            .expect("a block that was made is stored");
        for recorded in block["calls"].as_array().expect("a block has calls") {
            let Some(body) = recorded["call"]["signed"]["body"].as_str() else {
                continue;
            };
            let body: Value = serde_json::from_str(body).expect("a transaction's body is JSON");
            calls.push(Called {
                block: height,
                account: body["account"].as_str().unwrap_or_default().to_owned(),
                call: body["call"].clone(),
                done: recorded["outcome"].get("done").is_some(),
            });
        }
    }
    calls
}

async fn json(chain: SocketAddr, path: &str) -> Option<Value> {
    let mut reply = get(chain, path).await.ok()?;
    if reply.status() != 200 {
        return None;
    }
    serde_json::from_str(&reply.text().await).ok()
}
