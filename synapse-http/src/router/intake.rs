//! A request's body, with a limit on what it becomes.

use std::{error::Error as StdError, io};

use axum::body::Body;
use bytes::Bytes;
use flate2::write::GzDecoder;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use synapse_core::{Error, ErrorKind};

/// How much is reserved for a body before its bytes are there.
const RESERVED: usize = 64 * 1024;

/// Reads a body whole, decompressed where it says it is gzip. The limit is on what comes out: neither a lying length
/// nor a bomb makes it hold more.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    match coding(headers)? {
        Coding::Identity => read_raw(headers, body, limit, |_| Ok(())).await,
        Coding::Gzip => {
            announced(headers, limit)?;
            gunzipped(body, limit).await
        }
    }
}

/// Reads a body whole, as it was sent. `hold` is told how much memory it is about to take in all, and may say no.
pub(crate) async fn read_raw(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    mut hold: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Bytes, Error> {
    let announced = announced(headers, limit)?;
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len()) {
        hold(first.len())?;
        return Ok(first);
    }
    let mut whole = Vec::new();
    let mut data = Some(first);
    while let Some(more) = data {
        let needed = whole.len() + more.len();
        if needed > limit {
            return Err(too_large(limit));
        }
        if needed > whole.capacity() {
            // No more than may come, and no more than twice what came: a lying length costs nothing.
            let most = announced.unwrap_or(limit);
            let room = (2 * whole.capacity()).max(RESERVED).min(most).max(needed);
            hold(room)?;
            whole.reserve_exact(room - whole.len());
        }
        whole.extend_from_slice(&more);
        data = next(&mut body).await?;
    }
    Ok(whole.into())
}

/// How long the body will be, where its head says so.
fn announced(headers: &HeaderMap, limit: usize) -> Result<Option<usize>, Error> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    match length {
        Some(length) if length > limit => Err(too_large(limit)),
        length => Ok(length),
    }
}

enum Coding {
    Identity,
    Gzip,
}

fn coding(headers: &HeaderMap) -> Result<Coding, Error> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
        (None, _) => Ok(Coding::Identity),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"identity") => Ok(Coding::Identity),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"gzip") => Ok(Coding::Gzip),
        _ => Err(Error::unsupported(
            "unsupported_encoding",
            "the body's content encoding is not known here",
        )
        .with_hint("send the body plain, or compressed with gzip alone")),
    }
}

async fn gunzipped(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut decoder = GzDecoder::new(Limited {
        whole: Vec::new(),
        limit,
    });
    while let Some(data) = next(&mut body).await? {
        // In pieces: what one piece becomes is decompressed without a pause for others.
        for piece in data.chunks(PIECE) {
            io::Write::write_all(&mut decoder, piece).map_err(|error| unzip_failed(error, limit))?;
            tokio::task::consume_budget().await;
        }
    }
    let limited = decoder.finish().map_err(|error| unzip_failed(error, limit))?;
    Ok(limited.whole.into())
}

/// Becomes 16 MiB at worst.
const PIECE: usize = 16 * 1024;

/// The next bytes of a body; trailers and empty frames are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(unreadable)?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

struct Limited {
    whole: Vec<u8>,
    limit: usize,
}

impl io::Write for Limited {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.limit - self.whole.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.whole.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "body_too_large",
        format!("the body is larger than {limit} bytes"),
    )
    .with_hint("shorten the prompt, or split the request")
}

fn unzip_failed(error: io::Error, limit: usize) -> Error {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return too_large(limit);
    }
    Error::invalid(
        "invalid_encoding",
        "the body says that it is gzip, and is not, or not whole",
    )
    .with_source(error)
}

/// An error of ours that a body carries (it came too slowly), or that the client broke off.
fn unreadable(error: axum::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return ours.clone();
        }
        cause = current.source();
    }
    Error::invalid(
        "body_broken",
        "the request's body broke off, or is framed wrongly",
    )
    .with_source(error)
}
