//! What the directory says of a node, and when.

use super::*;

async fn listed(chain: &Chain, engine: &Engine, data: &Path) -> Running {
    let node = start(chain, data, engine, once(110)).await;
    seconds(60).await;
    assert!(node.status.current().listed);
    node
}

fn capabilities(chain: &Chain) -> Option<String> {
    chain.member()?.capabilities
}

#[tokio::test(start_paused = true)]
async fn what_it_serves_is_told_once_each_time_that_it_changes() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = listed(&chain, &engine, data.path()).await;
    let small = capabilities(&chain);
    let both = engine.has(&["small", "large"]);
    seconds(30).await;
    assert_eq!(capabilities(&chain), Some(both));
    seconds(3600).await;
    assert_eq!(
        (
            chain.count("told"),
            node.said("capabilities_changed"),
            node.said("listed")
        ),
        (2, 1, 2)
    );
    // An engine that loads one model after another.
    for models in [&["a"][..], &["a", "b"], &["a", "b", "c"], &["small"]] {
        engine.has(models);
        seconds(5).await;
    }
    seconds(60).await;
    assert_eq!((capabilities(&chain), chain.count("told")), (small, 3));
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_the_same_engine_tells_nothing_and_with_another_tells_that() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    listed(&chain, &engine, data.path()).await.kill().await;
    let node = start(&chain, data.path(), &engine, once(110)).await;
    seconds(60).await;
    assert_eq!(chain.count("told"), 1);
    node.kill().await;
    let large = engine.has(&["large"]);
    let _node = start(&chain, data.path(), &engine, once(110)).await;
    seconds(60).await;
    assert_eq!((capabilities(&chain), chain.count("told")), (Some(large), 2));
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_it_never_tells_what_it_does_not_serve() {
    for at in (0..40).map(|step| Duration::from_millis(step * 100)) {
        let chain = Chain::with_blocks(Duration::from_millis(900));
        let (data, engine) = (tempfile::tempdir().unwrap(), Engine::new());
        let node = start(&chain, data.path(), &engine, once(110)).await;
        sleep(at).await;
        node.kill().await;
        let (large, told) = (engine.has(&["large"]), chain.count("told"));
        let node = start(&chain, data.path(), &engine, once(110)).await;
        seconds(120).await;
        assert_eq!(
            chain.count(&format!("told {large}")),
            chain.count("told") - told,
            "{at:?}"
        );
        assert_eq!(capabilities(&chain), Some(large), "{at:?}");
        assert!(node.status.current().listed, "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_a_minute_is_not_listed_with_what_it_does_not_serve() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = listed(&chain, &engine, data.path()).await;
    let small = capabilities(&chain);
    engine.is(Health::unhealthy("the engine is gone"));
    seconds(30).await;
    assert_eq!(
        (capabilities(&chain), node.alerts()),
        (small.clone(), vec!["unhealthy".to_owned()])
    );
    // What it says of itself now is not told.
    engine.has(&["nonsense"]);
    seconds(60).await;
    assert_eq!(
        (capabilities(&chain), node.alerts()),
        (None, vec!["withdrawn".to_owned()])
    );
    assert!(chain.member().unwrap().endpoint.is_some() && !node.status.current().listed);
    engine.has(&["small"]);
    seconds(60).await;
    engine.is(Health::ready());
    seconds(60).await;
    assert_eq!((capabilities(&chain), node.alerts().len()), (small, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_becomes_well_pays_for_nothing() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    for (health, claims, code) in [
        (
            Health::unhealthy("no model is loaded"),
            &["small"][..],
            "module_unhealthy",
        ),
        (Health::ready(), &[], "nothing_claimed"),
    ] {
        engine.is(health);
        engine.has(claims);
        let mut node = start(&chain, data.path(), &engine, once(110)).await;
        let error = (&mut node.task).await.unwrap().unwrap_err();
        assert_eq!((error.code(), chain.count("")), (code, 0));
    }
    // One that is slow to start is waited for.
    engine.has(&["small"]);
    engine.is(Health::unhealthy("it loads"));
    let node = start(&chain, data.path(), &engine, once(110)).await;
    seconds(50).await;
    assert_eq!(chain.count(""), 0);
    engine.is(Health::ready());
    seconds(60).await;
    assert!(node.status.current().listed);
}

#[tokio::test(start_paused = true)]
async fn another_process_with_its_key_is_noticed() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = listed(&chain, &engine, data.path()).await;
    let other = Endpoint::http("https://elsewhere.example.com").unwrap();
    chain.set(chain.member().unwrap().with_endpoint(other));
    seconds(60).await;
    assert_eq!(
        (node.said("listed_elsewhere"), node.alerts().len()),
        (1, 0),
        "{:?}",
        node.events()
    );
    assert_eq!(chain.member().unwrap().endpoint.unwrap().to_string(), HERE);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_moves_is_listed_where_it_is() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let (endpoint, follows) = Watch::channel(Endpoint::http(HERE).unwrap());
    let node = MinerNode::new(chain.clone(), key())
        .served_elsewhere(StandardMiner::new(engine))
        .advertise_moving(follows)
        .reachable_by(|_| async { Err(Error::unavailable("endpoint_unreachable", "a scripted wall")) })
        .register(once(110))
        .state(opened(data.path()).await);
    let node = launch(node);
    seconds(60).await;
    let there = "https://other.example.com:1";
    endpoint.set(Endpoint::http(there).unwrap());
    seconds(60).await;
    assert_eq!(chain.member().unwrap().endpoint.unwrap().to_string(), there);
    assert_eq!((node.said("listed"), node.said("listed_elsewhere")), (2, 0));
    assert_eq!(
        (node.said("unreachable"), node.alerts()),
        (1, vec!["unreachable".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_shows_what_there_is_room_for_as_json_too() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = listed(&chain, &engine, data.path()).await;
    let seen = || node.status.current().health.clone().unwrap();
    assert_eq!(seen().capacity, None);
    engine.is(Health::ready().with_capacity(Capacity::new(4, 3).with_waiting(2)));
    seconds(10).await;
    assert_eq!(seen().capacity, Some(Capacity::new(4, 3).with_waiting(2)));
    let json = serde_json::to_value(&*node.status.current()).unwrap();
    assert_eq!(
        json["health"]["capacity"],
        serde_json::json!({"slots": 4, "busy": 3, "waiting": 2})
    );
    assert_eq!(json["refusals"], serde_json::json!({"queue.full": 2}));
    // What an earlier version wrote is read, too.
    let mut earlier = json;
    earlier["health"].as_object_mut().unwrap().remove("capacity");
    earlier.as_object_mut().unwrap().remove("refusals");
    let read: MinerStatus = serde_json::from_value(earlier).unwrap();
    assert_eq!(read.health.unwrap().capacity, None);
}
