//! Users, who ask the gateway over HTTP: sixteen of them, each with an address of its own.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpSocket, sync::watch, task::JoinSet, time::sleep};

use crate::engine::{MODEL, USERS_MARK};

const USERS: u8 = 16;
const PAUSE: Duration = Duration::from_millis(250);

type Failure = Box<dyn Error + Send + Sync>;

/// Asks until `stop`.
pub(crate) fn start(gateway: SocketAddr, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut users = JoinSet::new();
    for number in 1..=USERS {
        let own = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number), 0));
        let mut stop = stop.clone();
        users.spawn(async move {
            tokio::select! {
                () = asks(own, gateway) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }
    users
}

async fn asks(own: SocketAddr, gateway: SocketAddr) {
    loop {
        // An error is an answer too: whoever failed is judged for it.
        let _ = ask(own, gateway).await;
        sleep(PAUSE).await;
    }
}

async fn ask(own: SocketAddr, gateway: SocketAddr) -> Result<(), Failure> {
    let body = json!({
        "model": MODEL, "stream": true, "max_tokens": 16,
        "messages": [{"role": "user", "content": format!("What would {USERS_MARK} have said of that?")}],
    });
    let socket = TcpSocket::new_v4()?;
    socket.bind(own)?;
    let stream = TokioIo::new(socket.connect(gateway).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let request = Request::post("/v1/chat/completions")
        .header("host", gateway.to_string())
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let exchange = async {
        let reply = sender.send_request(request).await?;
        reply.into_body().collect().await?;
        drop(sender);
        Ok::<(), Failure>(())
    };
    let (asked, _) = tokio::join!(exchange, connection);
    asked
}
