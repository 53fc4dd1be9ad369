//! What a chain's blocks say that its nodes did.

use std::net::SocketAddr;

use serde_json::Value;

use crate::get;

/// A block, and what was signed in it.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// When it was made, in milliseconds since 1970.
    pub time: u64,
    /// The signed calls in it.
    pub calls: Vec<Called>,
}

/// A call that stands in a block.
#[derive(Debug, Clone)]
pub struct Called {
    /// Who signed it.
    pub account: String,
    /// What was asked: `{"type": "submit_weights", …}`.
    pub call: Value,
    /// Whether it was done; else it was refused.
    pub done: bool,
}

/// A chain's blocks, from the first.
///
/// # Panics
/// Where the chain does not answer, or a block is none.
pub async fn blocks(chain: SocketAddr) -> Vec<Block> {
    let head: Value = json(chain, "/v1/chain").await.expect("the chain answers");
    let newest = head["head"]["block"]
        .as_u64()
        .expect("a chain has a newest block");
    let mut blocks = Vec::new();
    for height in 1..=newest {
        let block = json(chain, &format!("/v1/blocks/{height}"))
            .await
            .expect("a block that was made is stored");
        let recorded = block["calls"].as_array().expect("a block has calls");
        blocks.push(Block {
            height,
            time: block["time"].as_u64().expect("a block has a time"),
            calls: recorded.iter().filter_map(called).collect(),
        });
    }
    blocks
}

fn called(recorded: &Value) -> Option<Called> {
    let body: Value = serde_json::from_str(recorded["call"]["signed"]["body"].as_str()?)
        .expect("a transaction's body is JSON");
    Some(Called {
        account: body["account"].as_str().unwrap_or_default().to_owned(),
        call: body["call"].clone(),
        done: recorded["outcome"].get("done").is_some(),
    })
}

async fn json(chain: SocketAddr, path: &str) -> Option<Value> {
    let mut reply = get(chain, path).await.ok()?;
    if reply.status() != 200 {
        return None;
    }
    serde_json::from_str(&reply.text().await).ok()
}
