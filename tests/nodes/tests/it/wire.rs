//! What somebody on the way between two nodes sees.

use nodes_tests::{Ending, Process, Subnet, Wire, ask};

/// Words of the exchange: of its prompt, its reply, its protocol, its model.
const WORDS: [&str; 4] = ["whisper", "WHISPER", "HTTP/1.1", "shout"];

/// What goes over the wire while a validator asks a miner once: everything that was said in one direction of one
/// connection, for each of them.
async fn overheard(scheme: &str, options: &[&str]) -> Vec<Vec<u8>> {
    let subnet = Subnet::new();
    let (_, miner) = (subnet.key("validator"), subnet.key("miner"));
    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    subnet.register("validator", "validator").await;
    subnet.register("miner", "miner").await;

    let (listener, between) = Wire::listen().await;
    let miner_process = options.iter().fold(
        subnet
            .miner("miner", 1, 0)
            .arg(format!("--advertise={scheme}://{between}")),
        Process::arg,
    );
    let miner_node = miner_process.start().await;
    let wire = Wire::reach(listener, miner_node.address());
    let validator_process = subnet.validator("validator");
    let validator_node = validator_process.start().await;

    let mut reply = ask(validator_node.address(), "whisper").await.unwrap();
    assert_eq!(reply.miner(), Some(&*miner), "{}", validator_node.stderr());
    assert_eq!(reply.ending().await, Ending::Complete);
    assert!(reply.text().await.contains("WHISPER"));
    let seen = wire.seen();
    seen.into_iter().filter(|bytes| !bytes.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_tls_and_no_plain_text() {
    let seen = overheard("https", &[]).await;
    assert!(seen.len() >= 2, "both directions were heard");
    for bytes in seen {
        assert_eq!(bytes[..2], [0x16, 0x03], "a TLS handshake comes first");
        let text = String::from_utf8_lossy(&bytes);
        for word in WORDS {
            assert!(!text.contains(word), "{word} can be read on the way");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_it_is_all_of_it() {
    let seen = overheard("http", &["--plain-http"]).await;
    let text = String::from_utf8_lossy(&seen.concat()).into_owned();
    for word in WORDS {
        assert!(
            text.contains(word),
            "{word} is not heard, so its absence says nothing"
        );
    }
}
