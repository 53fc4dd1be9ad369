//! Makes a model of a file.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::Method;
use reqwest::Body;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use synapse_core::Error;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    sync::mpsc,
};

use super::{Progress, Transfer, lines};
use crate::ollama::{
    error,
    transport::{Transport, written},
};

/// How much is read, and told of, at a time.
const READ: usize = 1 << 20;
/// The longest wait for a file to be sent: 100 GiB at 10 MiB/s.
const UPLOAD: Duration = Duration::from_secs(3 * 60 * 60);
/// The longest wait for whether Ollama has a file already.
const LOOK: Duration = Duration::from_secs(10);
/// What a GGUF file begins with.
const MAGIC: &[u8; 4] = b"GGUF";

pub(super) fn create(transport: Transport, name: String, gguf: PathBuf) -> Transfer {
    Transfer::new(move |steps| async move {
        let (file, total) = open(&gguf).await?;
        let (file, digest) = digest(file, &gguf, total, &steps).await?;
        if !has(&transport, &digest).await? {
            upload(&transport, file, &digest, total, &steps, &name).await?;
        }
        let named = gguf
            .file_name()
            .map_or_else(|| "model.gguf".into(), |name| name.to_string_lossy());
        let question = written(&json!({"model": name, "files": {named: digest}, "stream": true}));
        lines::follow(&transport, "/api/create", question, &name, &steps).await
    })
}

/// The file, which begins as a GGUF file does, and its size.
async fn open(path: &Path) -> Result<(File, u64), Error> {
    let failed = |error: io::Error| unreadable(path, error);
    let mut file = File::open(path).await.map_err(failed)?;
    let total = file.metadata().await.map_err(failed)?.len();
    let mut magic = [0; MAGIC.len()];
    let begun = file.read_exact(&mut magic).await;
    if begun.is_err() || magic != *MAGIC {
        return Err(
            Error::invalid("not_gguf", format!("{} is no GGUF file", path.display())).with_hint(
                "give a file in GGUF format; others are converted with llama.cpp's convert_hf_to_gguf.py",
            ),
        );
    }
    file.rewind().await.map_err(failed)?;
    Ok((file, total))
}

async fn digest(
    mut file: File,
    path: &Path,
    total: u64,
    steps: &mpsc::Sender<Progress>,
) -> Result<(File, String), Error> {
    let mut hasher = Sha256::new();
    let mut completed = 0;
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        buffer.clear();
        let read = (&mut file)
            .take(READ as u64)
            .read_buf(&mut buffer)
            .await
            .map_err(|error| unreadable(path, error))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer);
        completed += read as u64;
        let _ = steps.send(step("computing digest", "", total, completed)).await;
    }
    file.rewind().await.map_err(|error| unreadable(path, error))?;
    let hex: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok((file, format!("sha256:{hex}")))
}

/// Whether Ollama has a file of this digest.
async fn has(transport: &Transport, digest: &str) -> Result<bool, Error> {
    let path = format!("/api/blobs/{digest}");
    let (status, _) = transport
        .exchange(Method::HEAD, &path, Body::default(), LOOK)
        .await?;
    Ok(status.is_success())
}

async fn upload(
    transport: &Transport,
    file: File,
    digest: &str,
    total: u64,
    steps: &mpsc::Sender<Progress>,
    model: &str,
) -> Result<(), Error> {
    let told = (steps.clone(), digest.to_owned());
    let source = stream::try_unfold(
        (file, told, 0),
        move |(mut file, (steps, digest), sent)| async move {
            let mut read = BytesMut::with_capacity(READ);
            (&mut file).take(READ as u64).read_buf(&mut read).await?;
            if read.is_empty() {
                return Ok::<_, io::Error>(None);
            }
            let sent = sent + read.len() as u64;
            let _ = steps.send(step("uploading", &digest, total, sent)).await;
            Ok(Some((Bytes::from(read), (file, (steps, digest), sent))))
        },
    );
    let path = format!("/api/blobs/{digest}");
    let (status, body) = transport
        .exchange(Method::POST, &path, Body::wrap_stream(source), UPLOAD)
        .await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(error::of_reply(status, &body, Some(model))),
    }
}

fn step(status: &str, digest: &str, total: u64, completed: u64) -> Progress {
    Progress {
        status: status.to_owned(),
        digest: digest.to_owned(),
        total,
        completed,
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::invalid(
        "file_unreadable",
        format!("{} could not be read: {error}", path.display()),
    )
    .with_hint("check that it is there, and that this user may read it")
    .with_source(error)
}
