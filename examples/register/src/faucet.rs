//! Funds from a chain that gives some away.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Uri, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use synapse_core::{Error, NodeId};
use tokio::{net::TcpStream, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const LONGEST: usize = 64 * 1024;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Has the faucet of the chain at `url` fund `account`. That it did so before is no error.
///
/// A faucet is for tries on one machine, and is asked over plain HTTP.
pub(crate) async fn ask(url: &str, account: &NodeId) -> Result<(), Error> {
    if url.starts_with("https:") {
        return Err(Error::unsupported(
            "faucet_over_tls",
            format!("the faucet of {url} cannot be asked: it gives over plain HTTP only"),
        )
        .with_hint("fund the account as the chain starts (devchain run --fund ADDRESS=AMOUNT), and leave --faucet out"));
    }
    let failed = |error: Failure| {
        Error::unavailable(
            "chain_unreachable",
            format!("the faucet of {url} could not be asked"),
        )
        .with_hint("check that the chain runs and that its address is right")
        .with_source(error)
    };
    let answer = timeout(PATIENCE, post(url, account)).await;
    let document: Value = answer.map_err(|late| failed(late.into()))?.map_err(failed)?;
    match &document["error"] {
        Value::Null => Ok(()),
        said if said["code"] == "faucet_dry" => {
            eprintln!("{}", said["message"].as_str().unwrap_or("the faucet is dry"));
            Ok(())
        }
        said => Err(Error::unavailable(
            "no_funds",
            format!("the faucet of {url} gives nothing: {}", said["message"]),
        )
        .with_hint("fund the account otherwise, and leave --faucet out")),
    }
}

async fn post(url: &str, account: &NodeId) -> Result<Value, Failure> {
    let url: Uri = url.parse()?;
    let host = url.host().ok_or("the chain's address has no host")?;
    let socket = TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::post("/v1/faucet")
        .header("host", url.authority().map_or("", |authority| authority.as_str()))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(json!({"account": account}).to_string()))?;
    let exchange = async {
        let body = sender.send_request(request).await?.into_body();
        let body = Limited::new(body, LONGEST).collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    };
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(ended.err().map_or("the chain closed the connection".into(), Into::into)),
    }
}
