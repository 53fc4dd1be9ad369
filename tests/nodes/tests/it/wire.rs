//! What somebody on the way between two nodes sees.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use nodes_tests::{Ending, Subnet, ask};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// Passes bytes on to `miner`, both ways, and keeps what it sees: a `Vec` a connection and direction.
async fn listen_in(listener: TcpListener, miner: SocketAddr, seen: Seen) {
    while let Ok((validator, _)) = listener.accept().await {
        let miner = TcpStream::connect(miner).await.unwrap();
        let (validator_reads, validator_writes) = validator.into_split();
        let (miner_reads, miner_writes) = miner.into_split();
        tokio::spawn(copy(validator_reads, miner_writes, seen.clone()));
        tokio::spawn(copy(miner_reads, validator_writes, seen.clone()));
    }
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    seen: Seen,
) -> std::io::Result<()> {
    let at = {
        let mut seen = seen.lock().unwrap();
        seen.push(Vec::new());
        seen.len() - 1
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        seen.lock().unwrap()[at].extend_from_slice(&buffer[..read]);
        to.write_all(&buffer[..read]).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_tls_and_no_plain_text() {
    let subnet = Subnet::new();
    let (_, miner) = (subnet.key("validator"), subnet.key("miner"));
    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    subnet.register("validator", "validator").await;
    subnet.register("miner", "miner").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    let miner_process = subnet
        .miner("miner", 1, 0)
        .arg(format!("--advertise=https://{between}"));
    let miner_node = miner_process.start().await;
    let seen = Seen::default();
    tokio::spawn(listen_in(listener, miner_node.address(), seen.clone()));
    let validator_process = subnet.validator("validator");
    let validator_node = validator_process.start().await;

    let mut reply = ask(validator_node.address(), "whisper").await.unwrap();
    assert_eq!(reply.miner(), Some(&*miner), "{}", validator_node.stderr());
    assert_eq!(reply.ending().await, Ending::Complete);
    assert!(reply.text().await.contains("WHISPER"));

    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty());
    for bytes in seen.iter().filter(|bytes| !bytes.is_empty()) {
        assert_eq!(bytes[..2], [0x16, 0x03], "a TLS handshake comes first");
        let text = String::from_utf8_lossy(bytes);
        for word in ["whisper", "WHISPER", "HTTP/1.1", "shout"] {
            assert!(!text.contains(word), "{word} can be read on the way");
        }
    }
}
