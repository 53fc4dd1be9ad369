//! A node that serves over HTTP, and how it ends.

use std::future::pending;

use futures_util::{StreamExt, stream};
use synapse_core::{Chunk, Connect, Message, Prompt, Request, testkit::Scripted};
use synapse_http::SignedHttp;

use super::*;

fn validator() -> Arc<Keypair> {
    Arc::new(Keypair::from_uri(Scheme::Sr25519, "//Alice").unwrap())
}

fn with_a_validator() -> Chain {
    let chain = Chain::with_blocks(Duration::from_millis(20));
    let member = Member::new(validator().address().clone(), Role::Validator).with_stake(Stake(1_000));
    chain.set(member.with_endpoint(Endpoint::http("https://validator.example.com").unwrap()));
    chain
}

/// Waits for something of the status, in real time.
async fn until(node: &mut Running, what: impl Fn(&MinerStatus) -> bool) {
    let seen = async {
        while let Some(status) = node.status.next().await {
            if what(&status) {
                return;
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    assert!(
        seen.is_ok(),
        "{:?}: {:?}",
        node.events.lock().unwrap(),
        node.status.current()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_listed_once_it_serves_drains_and_leaves() {
    let (chain, data) = (with_a_validator(), tempfile::tempdir().unwrap());
    let (begin, begun) = tokio::sync::watch::channel(false);
    let module = Scripted::new(move |_| {
        let mut begun = begun.clone();
        async move {
            let rest = async move {
                let _ = begun.wait_for(|begun| *begun).await;
                Chunk::delta(Delta::finish(FinishReason::Stop)).into_last()
            };
            let first = stream::iter([Chunk::delta(Delta::text("first"))]);
            Ok(Output::new(Body::new(first.chain(stream::once(rest)).map(Ok))))
        }
    });
    let mut node = launch(
        MinerNode::new(chain.clone(), key())
            .serve("127.0.0.1:0", module)
            .without_own_question()
            .register(once(110))
            .state(opened(data.path()).await)
            .leave_on_shutdown(),
    );
    until(&mut node, |status| status.listed && status.heartbeat_ms.is_some()).await;
    assert_eq!(node.events(), ["serving", "registering", "registered", "listed"]);

    // Just as a validator asks it: where the directory says, by its key.
    let connect = SignedHttp::new(validator()).with(|builder| builder.allow_loopback(true));
    let asked = connect.connect(&chain.member().unwrap()).unwrap();
    asked.initialize().await.unwrap();
    assert_eq!(
        Some(asked.get_capabilities().models[0].id.as_str()),
        Some("scripted")
    );
    let said = Prompt::Messages(vec![Message::user("hello")]);
    let request = Request::new("scripted", said).with_params(|params| params.stream = true);
    let question = || Input::from_request(Task::CHAT, request.clone());
    let mut reply = asked.run_inference(question()).await.unwrap();
    node.stop.take().unwrap().send(()).unwrap();
    until(&mut node, |status| {
        status.stage == synapse_miner::node::Stage::Draining
    })
    .await;
    assert!(chain.member().is_some(), "it is there while it drains");
    begin.send_replace(true);
    while let Some(chunk) = reply.body.next().await {
        chunk.unwrap();
    }
    (&mut node.task).await.unwrap().unwrap();
    assert!(chain.member().is_none());
    assert_eq!(node.events()[4..], ["draining", "left"]);
    assert!(asked.run_inference(question()).await.is_err(), "nobody listens");

    // It was its own wish, and no place that it lost.
    let node = start(&chain, data.path(), &Engine::new(), once(1_000)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((node.events(), chain.count("paid")), (vec!["not_registered"], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_serve_pays_for_nothing() {
    let (chain, data) = (with_a_validator(), tempfile::tempdir().unwrap());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let node = MinerNode::new(chain.clone(), key()).serve(at, Engine::new());
    let error = node.run(pending()).await.unwrap_err();
    assert_eq!(error.code(), "address_in_use");
    let refuses = Scripted::new(|_| async { Err(Error::unavailable("no_engine", "the engine is away")) });
    let node = MinerNode::new(chain.clone(), key())
        .serve("127.0.0.1:0", refuses)
        .register(once(110))
        .state(opened(data.path()).await);
    let error = node.run(pending()).await.unwrap_err();
    assert_eq!(error.code(), "own_question_failed", "{error}");
    let node = MinerNode::new(chain.clone(), key()).serve("0.0.0.0:0", Engine::new());
    assert_eq!(node.run(pending()).await.unwrap_err().code(), "no_address");
    assert_eq!(chain.count(""), 0);
}

/// Goes when its engine says that it does.
struct Tired(Engine);

impl Miner for Tired {
    fn module(&self) -> Arc<dyn InferenceModule> {
        Arc::new(self.0.clone())
    }

    fn drain(&self, health: &Health) -> Option<String> {
        (!health.is_serving()).then(|| "the engine is worn out".to_owned())
    }

    fn register(&self) -> Register {
        once(110)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_decides_when_it_registers_and_when_it_goes() {
    let (chain, data, engine) = (with_a_validator(), tempfile::tempdir().unwrap(), Engine::new());
    let node = MinerNode::new(chain.clone(), key())
        .serve_miner("127.0.0.1:0", Tired(engine.clone()))
        .heartbeat(Duration::from_secs(6))
        .state(opened(data.path()).await);
    let mut status = node.status();
    let running = tokio::spawn(node.run(pending()));
    while !status.next().await.unwrap().listed {}
    assert_eq!(chain.count("paid"), 1);
    engine.is(Health::unhealthy("a scripted end"));
    running.await.unwrap().unwrap();
    assert!(chain.member().is_some(), "it keeps its place");
}

/// Many engines answer with what they have loaded, whichever model they are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_claimed_is_refused_though_the_engine_would_answer() {
    let (chain, data) = (with_a_validator(), tempfile::tempdir().unwrap());
    let answered = Arc::new(Mutex::new(Vec::new()));
    let asked = answered.clone();
    let obliging = Scripted::new(move |input| {
        asked.lock().unwrap().push(input.request().unwrap().model.clone());
        async {
            let said = [Delta::text("of course"), Delta::finish(FinishReason::Stop)];
            Ok(Output::new(Body::from_deltas(said)))
        }
    });
    let mut node = launch(
        MinerNode::new(chain.clone(), key())
            .serve("127.0.0.1:0", obliging)
            .without_own_question()
            .register(once(110))
            .state(opened(data.path()).await),
    );
    until(&mut node, |status| status.listed).await;
    let connect = SignedHttp::new(validator()).with(|builder| builder.allow_loopback(true));
    let miner = connect.connect(&chain.member().unwrap()).unwrap();
    miner.initialize().await.unwrap();
    let question = |model: &str| {
        let said = Prompt::Messages(vec![Message::user("hello")]);
        Input::from_request(Task::CHAT, Request::new(model, said))
    };
    miner.run_inference(question("scripted")).await.unwrap();
    let refused = miner.run_inference(question("larger")).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.kind()),
        ("model_not_found", ErrorKind::NotFound)
    );
    assert_eq!(*answered.lock().unwrap(), ["scripted"]);
}
