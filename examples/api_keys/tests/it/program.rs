//! The program, and a gateway that asks for its keys.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use synapse_core::testkit::Echo;
use synapse_http::{ApiKeysLayer, Server, router};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than anything here should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api_keys"));
    command
        .args(arguments)
        .env("RUST_LOG", "trace")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end()
}

/// What it printed, where it did what it was told.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

pub(crate) fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(folder, &[arguments, &["--json"]].concat())).unwrap()
}

/// A new key: its id, and itself.
pub(crate) fn create(folder: &Path) -> (String, String) {
    let made = json(folder, &["create", "--caller", "alice"]);
    let part = |name: &str| made[name].as_str().unwrap().to_owned();
    (part("id"), part("secret"))
}

/// Serves until the test ends.
pub(crate) async fn gateway(folder: &Path) -> SocketAddr {
    let layer = ApiKeysLayer::open(folder.join("api-keys")).unwrap();
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(router(Echo::new()).layer(layer)));
    address
}

/// Asks for the models with `key`: the status, and the body.
pub(crate) async fn ask(gateway: SocketAddr, key: &str) -> (u16, Value) {
    let asking = async {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    };
    timeout(PATIENCE, asking).await.unwrap()
}
