//! Following a chain for as long as somebody cares.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use synapse_core::{Error, Framing};
use synapse_http::sse::{Framer, Limits};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, sleep, timeout, timeout_at},
};

use super::{backoff::Backoff, link::Link, subnets::Known};
use crate::{Head, remote::wire::Update};

/// The longest event: a directory of as many members as a subnet has at most.
const LONGEST_EVENT: usize = 32 << 20;

/// The shortest wait before a chain is followed again.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Follows the newest block until what it returns is dropped, and as long as somebody watches after that.
pub(super) fn follow_head(link: Arc<Link>) -> oneshot::Sender<()> {
    let (handles, dropped) = oneshot::channel();
    tokio::spawn(async move {
        let unwanted = async {
            let _ = dropped.await;
            link.unfollowed().await;
        };
        tokio::select! {
            never = follow(&link, "/v1/follow", None) => match never {},
            () = unwanted => {}
        }
    });
    handles
}

/// Follows, and begins anew after each failure, for ever.
pub(super) async fn follow(link: &Link, path: &str, subnet: Option<&Known>) -> Infallible {
    let mut backoff = Backoff::new(FIRST_WAIT, Duration::from_secs(5));
    loop {
        let mut reached = false;
        let error = match once(link, path, subnet, &mut reached).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if reached {
            backoff.reset();
        }
        let chain = link.http().base();
        let refused = matches!(error.code(), "another_chain" | "chain_went_back");
        if refused {
            tracing::error!(chain, %error, "the chain is refused");
            link.found(Some(error.clone()));
        } else {
            tracing::warn!(chain, %error, "the chain is away; what was last known stays");
        }
        if let Some(subnet) = subnet {
            subnet.missed(error);
        }
        let wait = backoff.next();
        if refused {
            sleep(wait).await;
        } else {
            // Whoever gets an answer meanwhile says that the chain is back.
            sleep(wait.min(FIRST_WAIT)).await;
            let _ = timeout(wait.saturating_sub(FIRST_WAIT), link.answered()).await;
        }
    }
}

/// Follows over one connection, until it fails.
async fn once(
    link: &Link,
    path: &str,
    subnet: Option<&Known>,
    reached: &mut bool,
) -> Result<Infallible, Error> {
    let known = link.seen();
    let mut newest = known;
    let mut response = link.stream(path).await?;
    let limits = Limits::default()
        .with_line(LONGEST_EVENT)
        .with_event(LONGEST_EVENT);
    let mut framer = Framer::new(Framing::Sse, limits);
    let mut complete = subnet.is_none();
    // For a whole event or comment: whoever sends it byte by byte is as good as silent.
    let mut until = Instant::now() + link.waits.silence;
    loop {
        let read = timeout_at(until, response.chunk()).await;
        let read = read.map_err(|_| link.http().silent())?;
        let Some(read) = read.map_err(|error| link.http().lost(error))? else {
            return Err(Error::unavailable(
                "connection_cut",
                format!("the chain at {} ended the connection", link.http().base()),
            ));
        };
        framer.push(read);
        while let Some(event) = framer.next() {
            until = Instant::now() + link.waits.silence;
            let Some(update) = parse(&event?)? else { continue };
            link.check_chain(&update.chain)?;
            check_order(link, newest, update.head)?;
            if !*reached && let Some(known) = known {
                check_history(link, known).await?;
            }
            link.found(None);
            newest = Some(update.head);
            // A block is told after what it changed, here as in one process.
            if let Some(subnet) = subnet {
                complete = complete || update.subnet.is_complete();
                if !complete {
                    return Err(Error::broken(
                        "incomplete_subnet",
                        "the chain left out what a follower needs",
                    ));
                }
                subnet.take(update.subnet);
            }
            link.advance(update.head);
            *reached = true;
        }
    }
}

/// The update that an event holds; a comment holds none.
fn parse(event: &Bytes) -> Result<Option<Update>, Error> {
    let lines = event.split(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(data) = lines.filter_map(|line| line.strip_prefix(b"data:")).next() else {
        return Ok(None);
    };
    serde_json::from_slice(data).map(Some).map_err(|error| {
        Error::broken("not_a_chain", "what the chain sent cannot be read").with_source(error)
    })
}

/// A chain that went back is not the one that was followed: its store was lost, or put back from a copy.
fn check_order(link: &Link, known: Option<Head>, said: Head) -> Result<(), Error> {
    let Some(known) = known.filter(|known| *known != said && known.block >= said.block) else {
        return Ok(());
    };
    Err(went_back(
        link,
        known,
        &format!("it is at block {} now", said.block),
    ))
}

/// Once a chain that went back is higher than it was, its block of that height tells: it has another digest.
async fn check_history(link: &Link, known: Head) -> Result<(), Error> {
    match link
        .get_now::<Head>(&format!("/v1/blocks/{}/head", known.block))
        .await
    {
        Ok(head) if head == known => Ok(()),
        Ok(_) => Err(went_back(link, known, "that is another block now")),
        // A chain in memory keeps no blocks, and has another name each time.
        Err(error) if error.code() == "unknown_block" => Ok(()),
        Err(error) => Err(error),
    }
}

fn went_back(link: &Link, known: Head, now: &str) -> Error {
    let base = link.http().base();
    Error::unavailable(
        "chain_went_back",
        format!("{base} was at block {}, and {now}", known.block),
    )
    .with_hint("start the chain on the directory that it had, or this node anew")
}
