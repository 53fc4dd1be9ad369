//! Requests that prove who asks: what is taken, what is refused, and what each side is told.

mod client;
mod fields;
mod refusals;
mod replays;
mod served;
mod unproved;
mod vectors;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, Method, Request, request::Parts};
use serde_json::Value;
use synapse_core::{
    BlockNumber, Directory, Member, NodeId, Role, Stake, Watch,
    keys::{Keypair, Scheme, Signer},
    testkit::ManualClock,
};
use synapse_http::signed::{
    Verifier,
    btauth::{self, Content},
};

/// When the vectors were signed, in nanoseconds.
pub(crate) const SIGNED_AT: u64 = 1_752_076_800_000_000_000;
/// How long before that the nodes here start.
const UP: Duration = Duration::from_secs(60);

pub(crate) fn key(name: &str) -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Sr25519, name).unwrap())
}

pub(crate) fn edwards(name: &str) -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Ed25519, name).unwrap())
}

pub(crate) fn address(name: &str) -> NodeId {
    key(name).address().clone()
}

pub(crate) fn wire_vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/wire_vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Alice validates, in both schemes, with a stake of 1,000; Charlie mines with 5; nobody knows Dave.
pub(crate) fn members() -> Watch<Directory> {
    let validators = [address("//Alice"), edwards("//Alice").address().clone()]
        .map(|node| Member::new(node, Role::Validator).with_stake(Stake(1000)));
    let miner = Member::new(address("//Charlie"), Role::Miner).with_stake(Stake(5));
    Watch::constant(Directory::new(
        validators.into_iter().chain([miner]),
        BlockNumber(7),
    ))
}

pub(crate) fn at(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// Bob's verifier and its clock, which stands at the time of the vectors, a minute after his start.
pub(crate) fn bob() -> (Verifier, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(at(SIGNED_AT) - UP));
    let verifier = Verifier::new(address("//Bob"), members()).clock(clock.clone());
    clock.advance(UP);
    (verifier, clock)
}

/// A request that is about to be sent, whole.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    /// By `signer`, for `receiver`, `nanos` after the time of the vectors (before, where it is negative).
    pub(crate) async fn signed(signer: &Keypair, receiver: Option<&NodeId>, nanos: i64) -> Self {
        let (target, body) = ("/v1/chat/completions?trace=1", crate::server::chat(false));
        let content = Content {
            method: &Method::POST,
            target,
            body: body.as_bytes(),
        };
        let nonce = SIGNED_AT.saturating_add_signed(nanos);
        Self {
            method: Method::POST,
            target: target.to_owned(),
            headers: btauth::sign(signer, content, receiver, nonce).await.unwrap(),
            body: body.into_bytes(),
        }
    }

    pub(crate) fn head(&self) -> Parts {
        let mut head = Request::builder()
            .method(self.method.clone())
            .uri(&self.target)
            .body(())
            .unwrap()
            .into_parts()
            .0;
        head.headers = self.headers.clone();
        head
    }

    pub(crate) fn checked(&self, verifier: &Verifier) -> Result<NodeId, String> {
        let by = verifier.check(&self.head(), &self.body);
        by.map(|by| by.node().clone())
            .map_err(|error| error.code().to_owned())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.method,
            self.target,
            self.body.len()
        )
        .into_bytes();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
