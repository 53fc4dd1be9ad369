//! What a node keeps, and refuses to lose.

use super::*;

async fn refused(data: &Path, chain: &Chain) -> Error {
    let mut node = start(chain, data, &Engine::new(), once(110)).await;
    (&mut node.task).await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_directory_belongs_to_one_process_and_one_node() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    let node = start(&chain, data.path(), &Engine::new(), once(110)).await;
    seconds(60).await;
    assert_eq!(DataDir::open(data.path()).unwrap_err().code(), "data_dir_locked");
    node.kill().await;
    let other = MinerNode::new(
        chain.clone(),
        Keypair::from_uri(Scheme::Sr25519, "//Eve").unwrap(),
    )
    .served_elsewhere(StandardMiner::new(Engine::new()))
    .advertise(Endpoint::http(HERE).unwrap())
    .state(opened(data.path()).await);
    let error = other.run(std::future::pending()).await.unwrap_err();
    assert_eq!(error.code(), "state_of_another_node");
}

#[tokio::test(start_paused = true)]
async fn state_that_it_does_not_understand_is_left_alone() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    for (text, code) in [
        (r#"{"version":2,"more":true}"#, "state_too_new"),
        (r#"{"version":1}"#, "state_unreadable"),
        ("", "state_unreadable"),
    ] {
        std::fs::write(data.path().join("state.json"), text).unwrap();
        assert_eq!(refused(data.path(), &chain).await.code(), code, "{text}");
        assert_eq!(
            std::fs::read_to_string(data.path().join("state.json")).unwrap(),
            text
        );
    }
    assert_eq!(chain.count(""), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_not_paid() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    let folder = data.path().join("node");
    let node = start(&chain, &folder, &Engine::new(), once(110)).await;
    // Nobody can write where a directory is in the way.
    std::fs::create_dir(folder.join("state.json.new")).unwrap();
    seconds(300).await;
    assert_eq!(
        (chain.count("asked"), node.alerts()),
        (0, vec!["not_stored".to_owned()])
    );
    std::fs::remove_dir(folder.join("state.json.new")).unwrap();
    seconds(300).await;
    assert_eq!(
        (chain.count("paid"), node.alerts().len()),
        (1, 0),
        "{:?}",
        node.events()
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_pays_needs_a_directory_and_one_that_serves_nothing_ends() {
    let node = || MinerNode::new(Chain::new(), key());
    let serves = || node().served_elsewhere(StandardMiner::new(Engine::new()));
    let ended = |node: MinerNode| async {
        node.run(std::future::pending())
            .await
            .unwrap_err()
            .code()
            .to_owned()
    };
    assert_eq!(ended(node()).await, "nothing_to_serve");
    assert_eq!(ended(serves()).await, "nothing_advertised");
    assert_eq!(ended(serves().register(once(110))).await, "no_state");
}

#[tokio::test(start_paused = true)]
async fn a_program_shares_the_directory_and_sees_the_node_end() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    let directory = Arc::new(opened(data.path()).await);
    let node = MinerNode::new(chain.clone(), key())
        .served_elsewhere(StandardMiner::new(Engine::new()))
        .advertise(Endpoint::http(HERE).unwrap())
        .reachable_by(|_| async { Ok(()) })
        .register(once(110))
        .state(directory.clone());
    let node = launch(node);
    let status = node.status.clone();
    seconds(60).await;
    assert!(status.current().listed);
    node.end().await.unwrap();
    assert_eq!(status.current().stage, synapse_miner::node::Stage::Ended);
    assert_eq!(DataDir::open(data.path()).unwrap_err().code(), "data_dir_locked");
    drop(directory);
    DataDir::open(data.path()).unwrap();
}
