//! What somebody on the way between two nodes sees.

use nodes_tests::{Ending, Subnet, Wire, ask};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_tls_and_no_plain_text() {
    let subnet = Subnet::new();
    let (_, miner) = (subnet.key("validator"), subnet.key("miner"));
    let chain_process = subnet.chain();
    let _chain = chain_process.start().await;
    subnet.register("validator", "validator").await;
    subnet.register("miner", "miner").await;

    let (listener, between) = Wire::listen().await;
    let miner_process = subnet
        .miner("miner", 1, 0)
        .arg(format!("--advertise=https://{between}"));
    let miner_node = miner_process.start().await;
    let wire = Wire::reach(listener, miner_node.address());
    let validator_process = subnet.validator("validator");
    let validator_node = validator_process.start().await;

    let mut reply = ask(validator_node.address(), "whisper").await.unwrap();
    assert_eq!(reply.miner(), Some(&*miner), "{}", validator_node.stderr());
    assert_eq!(reply.ending().await, Ending::Complete);
    assert!(reply.text().await.contains("WHISPER"));

    let seen = wire.seen();
    assert!(!seen.is_empty());
    for bytes in seen.iter().filter(|bytes| !bytes.is_empty()) {
        assert_eq!(bytes[..2], [0x16, 0x03], "a TLS handshake comes first");
        let text = String::from_utf8_lossy(bytes);
        for word in ["whisper", "WHISPER", "HTTP/1.1", "shout"] {
            assert!(!text.contains(word), "{word} can be read on the way");
        }
    }
}
