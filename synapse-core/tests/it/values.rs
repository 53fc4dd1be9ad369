//! Values: watches, weights, endpoints, capabilities.

use std::time::Duration;

use futures_util::FutureExt;
use synapse_core::{
    BlockNumber, Capacity, Directory, Endpoint, Health, HealthStatus, Input, Member, Message, MetricsData,
    ModelInfo, ModuleCapabilities, NodeId, PromptPiece, RenderedPrompt, Role, Task, Watch, Weights,
};

#[tokio::test]
async fn a_watch_shows_the_latest_value_and_ends_with_its_sender() {
    let (sender, mut watch) = Watch::channel(1);
    assert_eq!(
        watch.next().await.as_deref(),
        Some(&1),
        "the first call returns at once"
    );
    assert!(watch.next().now_or_never().is_none(), "then it waits");
    sender.set(2);
    sender.set(3);
    assert_eq!(*watch.current(), 3);
    assert_eq!(watch.next().await.as_deref(), Some(&3), "slow followers skip");
    let mut other = watch.clone();
    assert_eq!(
        other.next().await.as_deref(),
        Some(&3),
        "a clone follows on its own"
    );
    assert_eq!(sender.follow().next().await.as_deref(), Some(&3));
    sender.set(4);
    drop(sender);
    assert_eq!(
        watch.next().await.as_deref(),
        Some(&4),
        "the last value is still seen"
    );
    assert_eq!(watch.next().await, None);
    assert_eq!(*watch.current(), 4);
    let mut constant = Watch::constant("x");
    assert_eq!(constant.next().await.as_deref(), Some(&"x"));
    assert_eq!(constant.next().await, None);
}

#[test]
fn a_digest_of_capabilities_is_of_their_sorted_json() {
    let mut some = ModuleCapabilities::new("some").with_task(Task::CHAT);
    some.resources.cpu_cores = 0.1;
    some = some.with_model(ModelInfo::new("m").with_context_length(4096));
    // `printf '%s' '{"concurrency":null,…}' | sha256sum`, of the keys in order.
    let text = concat!(
        r#"{"concurrency":null,"dialects":[],"interfaces":["1.0.0"],"models":[{"context_length":4096,"digest":null,"#,
        r#""id":"m","tokenizer":null}],"name":"some","resources":{"cpu_cores":0.1,"disk_bytes":0,"#,
        r#""gpu_memory_bytes":0,"memory_bytes":0},"seeds":false,"streaming":false,"tasks":["chat"],"#,
        r#""token_ids":false,"top_logprobs":0,"version":"0.1.0"}"#
    );
    assert_eq!(serde_json::from_str::<ModuleCapabilities>(text).unwrap(), some);
    assert_eq!(
        some.digest(),
        "sha256:8d588319ebb67c98270f4831b5b95cd835c406c5b85857b746b6ae70762875c0"
    );
    assert_ne!(some.digest(), some.clone().with_streaming().digest());
}

#[test]
fn weights_are_checked_and_sorted() {
    fn check(weights: &[(&str, u16)], expect: Result<&[&str], &str>) {
        let weights = Weights::new(weights.iter().map(|(node, value)| (NodeId::from(*node), *value)));
        let names = |weights: &Weights| {
            weights
                .as_slice()
                .iter()
                .map(|weight| weight.node.to_string())
                .collect::<Vec<_>>()
        };
        match (&weights, expect) {
            (Ok(weights), Ok(expected)) => assert_eq!(names(weights), expected),
            (Err(error), Err(code)) => assert_eq!(error.code(), code),
            other => panic!("{other:?}"),
        }
    }
    check(&[("b", 1), ("a", 0)], Ok(&["a", "b"]));
    check(&[("b", 1), ("b", 2)], Err("duplicate_weight"));
    check(&[("b", 0), ("a", 0)], Err("no_weight"));
    check(&[], Err("no_weight"));
    let json = r#"[{"node":"a","value":1},{"node":"a","value":1}]"#;
    assert!(
        serde_json::from_str::<Weights>(json)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
}

#[test]
fn endpoints_are_plain_http_addresses() {
    fn check(url: &str, expect: Result<&str, &str>) {
        let endpoint = Endpoint::http(url);
        match (&endpoint, expect) {
            (Ok(endpoint), Ok(shown)) => assert_eq!(endpoint.to_string(), shown),
            (Err(error), Err(part)) => {
                assert_eq!(error.code(), "bad_endpoint");
                assert!(error.to_string().contains(part), "{error}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
    check("http://127.0.0.1:8091", Ok("http://127.0.0.1:8091"));
    check("https://miner.example/", Ok("https://miner.example"));
    check("https://[::1]:8091", Ok("https://[::1]:8091"));
    check("https://[::1]", Ok("https://[::1]"));
    check("https://miner.example:99999", Err("no port from 0 to 65535"));
    check("ftp://miner.example", Err("no http or https scheme"));
    check("127.0.0.1:8091", Err("write it as http://host:port"));
    check("http://user:secret@host", Err("credentials"));
    check("http://host/?a=b", Err("query"));
    check("http://host/#part", Err("fragment"));
    check("", Err("no address"));
    check("/v1", Err("no http or https scheme"));
    check("http://host/a\"b", Err("quote"));
    check("http://host/a\\b", Err("backslash"));
    let long = format!("http://host/{}", "a".repeat(Endpoint::MAX_LENGTH - 12));
    check(&long, Ok(&long));
    check(&format!("{long}a"), Err("too long"));
    let written = Endpoint::http("http://host/v1//").unwrap();
    assert_eq!(
        written,
        Endpoint::http("http://host/v1").unwrap(),
        "as it is written, so it is read"
    );
}

#[test]
fn a_prompt_says_what_in_it_is_only_text() {
    let mut prompt = RenderedPrompt::new("<user>", "tests");
    prompt.push_plain("<end>");
    prompt.push_plain("?");
    prompt.push_template("<end><assistant>");
    let pieces: Vec<_> = prompt.pieces().collect();
    assert_eq!(prompt.text, "<user><end>?<end><assistant>");
    assert_eq!(
        pieces,
        [
            PromptPiece::Template("<user>"),
            PromptPiece::Plain("<end>"),
            PromptPiece::Plain("?"),
            PromptPiece::Template("<end><assistant>"),
        ]
    );
}

#[test]
fn a_directory_is_sorted_and_finds_its_members() {
    let miner = |name: &str| Member::new(name, Role::Miner);
    let served = miner("b").with_endpoint(Endpoint::http("http://127.0.0.1:1").unwrap());
    let directory = Directory::new(
        [served, miner("a"), Member::new("v", Role::Validator)],
        BlockNumber(7),
    );
    assert_eq!(
        directory
            .members()
            .iter()
            .map(|member| member.node.as_str())
            .collect::<Vec<_>>(),
        ["a", "b", "v"]
    );
    assert!(directory.get(&"b".into()).is_some());
    assert!(directory.get(&"c".into()).is_none());
    assert_eq!(
        directory.miners().count(),
        1,
        "only those that say where they are"
    );
}

#[test]
fn a_mismatch_of_interfaces_names_both_sides() {
    let claims = ModuleCapabilities::new("old");
    assert!(claims.check_interface(&"^1".parse().unwrap()).is_ok());
    let error = claims.check_interface(&"^2.1".parse().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module old 0.1.0 speaks the module interface 1.0.0, and this node needs ^2.1; \
         update the side with the older version"
    );
    let mut silent = claims;
    silent.interfaces.clear();
    let error = silent.check_interface(&"^1".parse().unwrap()).unwrap_err();
    assert_eq!(error.code(), "interface_mismatch");
    assert!(error.to_string().contains("of no version"), "{error}");
}

#[test]
fn capabilities_check_what_an_input_asks_for() {
    let claims = ModuleCapabilities::new("m")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("a"));
    let chat = |model: &str| Input::chat(model, [Message::user("hello")]);
    assert!(claims.check_input(&chat("a")).is_ok());
    assert_eq!(
        claims.check_input(&chat("b")).unwrap_err().code(),
        "model_not_found"
    );
    assert_eq!(claims.check_input(&chat("")).unwrap_err().code(), "model_missing");
    let embeddings = Input::from_request(Task::EMBEDDINGS, chat("a").request().unwrap().into_owned());
    assert_eq!(
        claims.check_input(&embeddings).unwrap_err().to_string(),
        "m cannot do the task embeddings; it does chat"
    );
}

#[tokio::test(start_paused = true)]
async fn the_worse_health_wins_and_keeps_its_time() {
    let first = Health::degraded("one");
    tokio::time::advance(Duration::from_secs(1)).await;
    let since = first.since_instant();
    let both = first.worse(Health::degraded("two"));
    assert_eq!((both.reason(), both.since_instant()), (Some("one"), since));
    let worse = both.worse(Health::unhealthy("three"));
    assert_eq!(
        (worse.status(), worse.is_serving()),
        (HealthStatus::Unhealthy, false)
    );
}

#[test]
fn metrics_of_parts_add_up() {
    let mut all = MetricsData::default();
    let mut part = MetricsData::default();
    part.counter_of("requests", &[("b", "2"), ("a", "1")], 2);
    all.merge(&part);
    all.merge(&part);
    assert_eq!(all.get("requests", &[("a", "1"), ("b", "2")]), Some(4.0));
    assert_eq!(all.get("requests", &[]), None);
}

#[test]
fn a_capacity_that_knows_no_places_narrows_none() {
    let engine = Capacity::new(4, 1).with_memory_free(9);
    let machine = Capacity::default().with_memory_free(7).with_gpu_memory_free(5);
    let both = Health::ready()
        .with_capacity(engine)
        .worse(Health::ready().with_capacity(machine));
    let expected = Capacity::new(4, 1).with_memory_free(7).with_gpu_memory_free(5);
    assert_eq!(both.capacity(), Some(expected));
    assert_eq!(expected.free(), Some(3));
    assert_eq!(Capacity::of_busy(3).free(), None);
    // What is not known is not said; what is not said is not known.
    let text = serde_json::to_string(&Capacity::of_busy(3)).unwrap();
    assert_eq!(text, r#"{"busy":3,"waiting":0}"#);
    let read: Capacity = serde_json::from_str(r#"{"slots":4,"busy":1}"#).unwrap();
    assert_eq!(read, Capacity::new(4, 1));
}
