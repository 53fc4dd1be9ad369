//! Bodies in a member's name, by whoever: what they may take before it is known that they are forged.

use std::time::Duration;

use http::{HeaderValue, Method};
use synapse_core::{keys::Keypair, testkit::Echo};
use synapse_http::{
    Verifier, router,
    signed::btauth::{self, Content},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{SIGNED_AT, Sent, address, bob, edwards, key};
use crate::server::{PATIENCE, Reply, Running, chat, start};

const KIB: usize = 1024;

/// A chat of this many bytes, signed by `signer`.
async fn long(signer: &Keypair, bytes: usize) -> Sent {
    let target = "/v1/chat/completions";
    let mut body = chat(false);
    body.push_str(&" ".repeat(bytes - body.len()));
    let content = Content {
        method: &Method::POST,
        target,
        body: body.as_bytes(),
    };
    Sent {
        method: Method::POST,
        target: target.to_owned(),
        headers: btauth::sign(signer, content, Some(&address("//Bob")), SIGNED_AT)
            .await
            .unwrap(),
        body: body.into_bytes(),
    }
}

/// In the name of `victim`, by somebody who has no key.
async fn forged(victim: &Keypair, bytes: usize) -> Sent {
    let mut sent = long(victim, bytes).await;
    let zero = format!("0x{}", "0".repeat(128));
    let zero = HeaderValue::try_from(zero).unwrap();
    sent.headers.insert("x-bittensor-signature", zero);
    sent
}

/// Sends all but the last byte, as far as it is taken.
async fn hold_back(running: &Running, sent: &Sent) -> TcpStream {
    let bytes = sent.bytes();
    let mut stream = running.connect().await;
    // A server that refuses need not read it all.
    let _ = stream.write_all(&bytes[..bytes.len() - 1]).await;
    stream
}

fn small(verifier: Verifier) -> Verifier {
    verifier
        .max_body_bytes(512 * KIB)
        .max_unproved_bytes(4 * 1024 * KIB)
}

#[tokio::test]
async fn slow_forgeries_take_so_much_and_no_more_and_end_with_their_time() {
    let (verifier, clock) = bob();
    let running = start(router(Echo::new()).signed(small(verifier))).await;
    let victims = [key("//Alice"), edwards("//Alice"), key("//Charlie")];
    let mut replies = JoinSet::new();
    for victim in &victims {
        let sent = forged(victim, 512 * KIB).await;
        for _ in 0..8 {
            let mut stream = hold_back(&running, &sent).await;
            replies.spawn(async move { Reply::read(&mut stream).await });
        }
    }
    // Each holds 448 KiB at last, and each name may have 1 MiB: two of them at most.
    let mut held = 8 * victims.len();
    while held > 2 * victims.len() {
        let reply = timeout(PATIENCE, replies.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!((reply.status, &*reply.code()), (503, "unproved_bodies_full"));
        assert_eq!(reply.header("retry-after"), Some("1"));
        held -= 1;
    }
    // What is no longer than usual gets through, in whoever's name the others come.
    let honest = long(&key("//Alice"), 32 * KIB).await;
    assert_eq!(running.exchange(honest.bytes()).await.status, 200);

    clock.advance(Duration::from_secs(11));
    let mut late = 0;
    while let Some(reply) = timeout(PATIENCE, replies.join_next()).await.unwrap() {
        let reply = reply.unwrap();
        if reply.status == 401 {
            assert_eq!(reply.code(), "stale_request");
            late += 1;
        }
    }
    assert!((1..=held).contains(&late), "{late} of {held}");
}

#[tokio::test]
async fn one_name_cannot_take_what_others_need() {
    let (verifier, _clock) = bob();
    let running = start(router(Echo::new()).signed(small(verifier))).await;
    let sent = forged(&key("//Charlie"), 512 * KIB).await;
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(hold_back(&running, &sent).await);
    }
    let honest = long(&key("//Alice"), 512 * KIB).await;
    assert_eq!(running.exchange(honest.bytes()).await.status, 200);
}

#[tokio::test]
async fn what_a_forgery_took_is_given_back() {
    let (verifier, _clock) = bob();
    // Room for one of them.
    let running =
        start(router(Echo::new()).signed(verifier.max_body_bytes(512 * KIB).max_unproved_bytes(0))).await;
    let sent = forged(&key("//Alice"), 512 * KIB).await;
    for _ in 0..4 {
        let reply = running.exchange(sent.bytes()).await;
        assert_eq!((reply.status, &*reply.code()), (401, "bad_signature"));
    }
    let honest = long(&key("//Alice"), 512 * KIB).await;
    assert_eq!(running.exchange(honest.bytes()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_still_makes_no_body_wait_for_ever() {
    let (verifier, _stands_still) = bob();
    let running = start(router(Echo::new()).signed(verifier)).await;
    let bytes = forged(&key("//Alice"), 64 * KIB).await.bytes();
    let mut stream = running.connect().await;
    let since = Instant::now();
    let (first, rest) = bytes.split_at(48 * KIB);
    stream.write_all(first).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    // Fast enough for the server's pace, and never done.
    let drip = async {
        for byte in rest {
            sleep(Duration::from_secs(1)).await;
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut reply = [0; 4096];
    let read = tokio::select! {
        read = reading.read(&mut reply) => read.unwrap(),
        () = drip => unreachable!(),
    };
    let reply = String::from_utf8_lossy(&reply[..read]);
    assert!(reply.contains("stale_request"), "{reply}");
    assert!(
        (12..14).contains(&since.elapsed().as_secs()),
        "{:?}",
        since.elapsed()
    );
}
