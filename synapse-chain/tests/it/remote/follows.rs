//! Following a chain over HTTP.

use std::time::Duration;

use serde_json::Value;
use synapse_chain::LocalChain;
use synapse_core::{Endpoint, NodeId, Registration, Role, Stake, Subnet, SubnetId, SubnetParams};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Served;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows over a socket that nobody reads from but the test.
async fn follow(served: &Served, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(served.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: chain\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until `wanted` is there, and returns everything up to then.
async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&text[text.len().saturating_sub(1 << 18)..]).contains(wanted) {
            let read = socket.read_buf(&mut text).await.unwrap();
            assert!(read > 0, "the connection ended");
        }
    };
    timeout(PATIENCE, reading).await.expect("it comes");
    String::from_utf8_lossy(&text).into_owned()
}

/// What whole chunks of a body hold.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    text
}

#[tokio::test]
async fn the_first_event_says_all_and_the_next_what_changed() {
    let served = Served::of(LocalChain::in_memory(), |api| api).await;
    let mut socket = follow(&served, "/v1/follow/7").await;
    let first = read_until(&mut socket, "\n\n\r\n").await;
    let first = unchunked(first.split_once("\r\n\r\n").unwrap().1);
    let event = first.split_once("data: ").unwrap().1;
    let event: Value = serde_json::from_str(event.split('\n').next().unwrap()).unwrap();
    for field in ["chain", "head", "epoch", "params", "directory"] {
        assert!(!event[field].is_null(), "{field} in {event}");
    }
    served.chain.advance(1).unwrap();
    let next = read_until(&mut socket, "\n\n\r\n").await;
    assert!(
        next.contains("\"block\":1") && !next.contains("directory"),
        "{next}"
    );
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let quiet = LocalChain::in_memory();
    let served = Served::of(quiet, |api| api.keep_alive(Duration::from_millis(20))).await;
    let mut socket = follow(&served, "/v1/follow").await;
    let text = read_until(&mut socket, ":\n\n\r\n").await;
    assert_eq!(text.matches("data:").count(), 1, "{text}");
    // A handle that waits less long than the chain is quiet stays connected.
    let chain = LocalChain::remote(&served.url()).silence_timeout(Duration::from_millis(500));
    let chain = chain.connect().await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    served.chain.advance(1).unwrap();
    let mut heads = chain.head();
    let reached = async { while heads.next().await.unwrap().block.0 < 1 {} };
    timeout(PATIENCE, reached).await.unwrap();
}

#[tokio::test]
async fn a_slow_follower_skips_to_what_is_newest() {
    const CHANGES: u16 = 400;
    let chain = LocalChain::in_memory();
    let served = Served::of(chain, |api| api).await;
    served
        .chain
        .create_subnet(SubnetId(9), SubnetParams::default().with_max_members(300))
        .unwrap();
    let subnet = served.chain.subnet(SubnetId(9)).await.unwrap();
    let member = |number: u16| NodeId::from(format!("member-{number}-{}", "x".repeat(90)));
    for number in 0..250 {
        let registration = Registration::new(member(number).as_str(), Role::Miner, Stake(0));
        subnet.register(registration).await.unwrap();
    }
    let mut socket = follow(&served, "/v1/follow/9").await;
    let whole = read_until(&mut socket, "\n\n\r\n").await.len();
    for port in 1..=CHANGES {
        let endpoint = Endpoint::http(&format!("http://127.0.0.1:{port}")).unwrap();
        subnet.serve(&member(0), endpoint.into()).await.unwrap();
        // The server gets its turn each time; nobody reads.
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    let rest = read_until(&mut socket, &format!("http://127.0.0.1:{CHANGES}\"")).await;
    let told = rest.matches("data:").count();
    assert!(told < usize::from(CHANGES), "{told} events of {whole} bytes");
}
