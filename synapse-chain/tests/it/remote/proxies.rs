//! What stands between a node and its chain, and fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use synapse_chain::{LocalChain, remote::UnknownOutcome};
use synapse_core::{Error, NodeId, Stake, SubnetId, keys::Signer as _};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{Served, key};
use crate::code;

/// Passes on what comes, but for some requests.
struct Proxy {
    address: SocketAddr,
    /// How many requests there were of those.
    came: Arc<AtomicUsize>,
}

/// What befalls some requests.
#[derive(Debug, Clone, Copy)]
struct Fault {
    /// How they begin.
    of: &'static str,
    /// How many of them.
    times: usize,
    /// Whether the chain sees them, and only its reply is lost.
    passed: bool,
    answer: &'static str,
    /// Whether the answer goes on, a byte at a time.
    dribbles: bool,
}

const GATEWAY_TIMEOUT: Fault = Fault {
    of: "POST",
    times: usize::MAX,
    passed: true,
    answer: "HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    dribbles: false,
};

impl Proxy {
    async fn new(upstream: SocketAddr, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(AtomicUsize::new(0));
        let count = came.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(socket, upstream, fault, count.clone()));
            }
        });
        Self { address, came }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Passes the requests of a connection on, one after another.
async fn pass(mut client: TcpStream, upstream: SocketAddr, fault: Fault, count: Arc<AtomicUsize>) {
    let mut chain = TcpStream::connect(upstream).await.unwrap();
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = client.read(&mut piece).await.unwrap_or(0);
        let request = &piece[..read];
        if request.is_empty() {
            return;
        }
        let spoiled =
            request.starts_with(fault.of.as_bytes()) && count.fetch_add(1, Ordering::Relaxed) < fault.times;
        if !spoiled || fault.passed {
            chain.write_all(request).await.unwrap();
        }
        if spoiled {
            let (mut from, mut to) = (client.split(), chain.split());
            let rest = copy(&mut from.0, &mut to.1);
            let _ = timeout(Duration::from_millis(100), rest).await;
            client.write_all(fault.answer.as_bytes()).await.unwrap();
            while fault.dribbles && client.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
            return;
        }
        if request.starts_with(b"GET /v1/follow") {
            let _ = copy_bidirectional(&mut client, &mut chain).await;
            return;
        }
        // A request and its reply come in one piece here, small as they are, or in one for the head and one for the rest.
        loop {
            let mut reply = vec![0; 1 << 16];
            tokio::select! {
                read = chain.read(&mut reply) => {
                    let read = read.unwrap_or(0);
                    if read == 0 || client.write_all(&reply[..read]).await.is_err() {
                        return;
                    }
                }
                more = client.readable() => {
                    more.unwrap();
                    let mut start = [0; 4];
                    let seen = client.peek(&mut start).await.unwrap_or(0);
                    if seen == 0 {
                        return;
                    }
                    if matches!(&start, b"GET " | b"POST") {
                        break;
                    }
                    let read = client.read(&mut reply).await.unwrap();
                    chain.write_all(&reply[..read]).await.unwrap();
                }
            }
        }
    }
}

/// A payment through a proxy with a fault: the chain, what came of it, and who was paid.
async fn pay_through(fault: Fault) -> (Served, Result<(), Error>, NodeId) {
    let served = Served::new(|api| api).await;
    let proxy = Proxy::new(served.address, fault).await;
    let to = key("//somebody").address().clone();
    let chain = LocalChain::remote(&proxy.url())
        .submission_timeout(Duration::from_millis(800))
        .connect()
        .await
        .unwrap()
        .with_signer(key("//Alice"));
    let paid = chain.transfer(&to, Stake(10)).await;
    (served, paid, to)
}

#[tokio::test]
async fn a_call_whose_reply_a_proxy_lost_is_done_once_and_known() {
    let (served, paid, to) = pay_through(Fault {
        times: 2,
        ..GATEWAY_TIMEOUT
    })
    .await;
    paid.unwrap();
    assert_eq!(served.chain.balance(&to).await.unwrap(), Stake(10));
}

#[tokio::test]
async fn what_a_proxy_says_is_no_verdict() {
    let forged = "HTTP/1.1 400 Bad Request\r\ncontent-length: 74\r\nconnection: close\r\n\r\n\
        {\"error\":{\"kind\":\"invalid\",\"code\":\"bad_signature\",\"message\":\"not signed\"}}";
    for answer in [GATEWAY_TIMEOUT.answer, forged] {
        let (served, paid, to) = pay_through(Fault {
            answer,
            ..GATEWAY_TIMEOUT
        })
        .await;
        let error = paid.unwrap_err();
        assert_eq!(error.code(), "outcome_unknown", "{answer}");
        let hash = UnknownOutcome::of(&error).unwrap().hash();
        assert!(
            served.chain.receipt(&hash).await.unwrap().is_some(),
            "it happened, and can be found"
        );
        assert_eq!(served.chain.balance(&to).await.unwrap(), Stake(10));
    }
}

#[tokio::test]
async fn a_chain_that_dribbles_is_given_up() {
    let served = Served::new(|api| api).await;
    let fault = Fault {
        of: "GET /v1/follow",
        times: 2,
        passed: false,
        answer: "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ",
        dribbles: true,
    };
    let proxy = Proxy::new(served.address, fault).await;
    let chain = LocalChain::remote(&proxy.url())
        .silence_timeout(Duration::from_millis(200))
        .connect()
        .await
        .unwrap();
    let from = chain.block();
    let mut heads = chain.head();
    let goes_on = async { while heads.next().await.unwrap().block <= from {} };
    timeout(Duration::from_secs(10), goes_on)
        .await
        .expect("it is followed again");
}

#[tokio::test]
async fn a_subnet_that_there_is_not_is_followed_no_more() {
    let served = Served::new(|api| api).await;
    let fault = Fault {
        of: "GET /v1/follow/9",
        times: 0,
        ..GATEWAY_TIMEOUT
    };
    let proxy = Proxy::new(served.address, fault).await;
    let chain = LocalChain::connect(&proxy.url()).await.unwrap();
    for id in 900..920 {
        assert_eq!(code(chain.subnet(SubnetId(id)).await), "unknown_subnet");
    }
    let asked = proxy.came.load(Ordering::Relaxed);
    // Whoever follows a chain that is away asks again within 50 ms, at first.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.came.load(Ordering::Relaxed), asked);
}
