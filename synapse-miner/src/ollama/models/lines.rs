//! Answers that come as a document a line.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::Method;
use reqwest::{Body, Response};
use serde::Deserialize;
use synapse_core::{Error, ErrorKind};
use tokio::{sync::mpsc, time::timeout};

use super::Progress;
use crate::ollama::{
    error,
    transport::{Transport, collect, cut},
};

/// The longest line, in bytes.
const LONGEST: usize = 64 << 10;
/// The longest wait between two reads: the digest of a large file is computed in silence.
const SILENCE: Duration = Duration::from_secs(900);

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    error: Option<String>,
    #[serde(flatten)]
    step: Progress,
}

/// Asks for work on `model`, and hands on how far it is until it succeeded.
pub(super) async fn follow(
    transport: &Transport,
    path: &str,
    question: Body,
    model: &str,
    steps: &mpsc::Sender<Progress>,
) -> Result<(), Error> {
    let late = |_elapsed| {
        Error::new(
            ErrorKind::Timeout,
            "ollama_silent",
            format!("Ollama said nothing of {model} for {SILENCE:?}"),
        )
        .with_hint("look at its log, and try again: what was fetched is kept")
    };
    let mut response = timeout(SILENCE, transport.send(Method::POST, path, question))
        .await
        .map_err(late)??;
    let status = response.status();
    if !status.is_success() {
        let body = timeout(SILENCE, collect(response)).await.map_err(late)??;
        return Err(error::of_reply(status, &body, Some(model)));
    }
    let mut unread = BytesMut::new();
    loop {
        let Some(line) = timeout(SILENCE, next(&mut response, &mut unread))
            .await
            .map_err(late)??
        else {
            return Err(Error::broken(
                "truncated_reply",
                format!("Ollama stopped before it was done with {model}"),
            )
            .with_hint("look at its log, and try again: what was fetched is kept"));
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(&line).map_err(|error| {
            Error::broken(
                "invalid_reply",
                format!("Ollama's words about {model} are no JSON"),
            )
            .with_source(error)
        })?;
        if let Some(said) = line.error {
            return Err(error::of_line(&said, Some(model)));
        }
        let done = line.step.status == "success";
        // Whoever dropped the other end dropped this work with it.
        let _ = steps.send(line.step).await;
        if done {
            return Ok(());
        }
    }
}

/// The next line without its end; `None` where there is none.
async fn next(response: &mut Response, unread: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
    let mut looked = 0;
    loop {
        if let Some(end) = unread[looked..].iter().position(|byte| *byte == b'\n') {
            let line = unread.split_to(looked + end);
            unread.advance(1);
            return Ok(Some(line));
        }
        looked = unread.len();
        if looked > LONGEST {
            return Err(Error::broken(
                "line_too_large",
                format!("a line of Ollama's answer is longer than {LONGEST} bytes"),
            ));
        }
        match response.chunk().await.map_err(cut)? {
            Some(read) => unread.extend_from_slice(&read),
            None if unread.is_empty() => return Ok(None),
            None => return Ok(Some(unread.split())),
        }
    }
}
