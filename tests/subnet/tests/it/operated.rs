//! A miner as an operator runs one: its node on a chain, TLS, signed requests, and every layer, in front of an engine that
//! is asked over HTTP; and validators with keys and stakes of their own.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use subnet_tests::{Serving, serve};
use synapse_chain::{LocalChain, LocalSubnet};
use synapse_core::{
    Body, Chunk, Connect, Delta, Error, InferenceModule, Input, Member, Message, ModelInfo,
    ModuleCapabilities, ModuleExt, Output, Prompt, Request, Role, Stake, Subnet, SubnetId, SubnetParams,
    Task,
    keys::{Keypair, Scheme, Signer},
    testkit::Scripted,
};
use synapse_http::{OpenAiModule, Server, SignedHttp};
use synapse_miner::{
    AdmissionLayer, CircuitBreakerLayer, MinerNode, QueueLayer,
    access::{AccessLayer, AccessRules, CallerLimits},
    inference::MeterLayer,
    monitor::ResourceMonitor,
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tower::ServiceBuilder;

/// What the engine works on at once.
pub(crate) const SLOTS: usize = 4;
/// What waits for it.
pub(crate) const WAITING: usize = 64;
/// Words of a reply.
const WORDS: usize = 16;
/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fake engine, since only who gets its slots matters here: it begins a reply as it has a slot for it, and ends the
/// oldest as often as it is told to. So what it gets done is counted, and no clock has a say.
fn engine(ends: &Arc<Semaphore>) -> Scripted {
    let (slots, ends) = (Arc::new(Semaphore::new(SLOTS)), ends.clone());
    let claims = ModuleCapabilities::new("told")
        .with_task(Task::CHAT)
        .with_model(ModelInfo::new("told"))
        .with_streaming();
    Scripted::new(move |_| {
        let (slots, ends) = (slots.clone(), ends.clone());
        async move {
            let slot = slots.acquire_owned().await.expect("it is never closed");
            let words = stream::iter(1..=WORDS).then(move |at| {
                let (ends, _slot) = (ends.clone(), &slot);
                async move {
                    if at == 2 {
                        ends.acquire().await.expect("it is never closed").forget();
                    }
                    let chunk = Chunk::delta(Delta::text("word "));
                    Ok(if at == WORDS { chunk.into_last() } else { chunk })
                }
            });
            Ok(Output::new(Body::new(words)))
        }
    })
    .with_capabilities(claims)
}

pub(crate) struct Miner {
    pub(crate) queue: QueueLayer,
    chain: LocalChain,
    subnet: LocalSubnet,
    member: Member,
    ends: Arc<Semaphore>,
    engine: Serving,
    stop: oneshot::Sender<()>,
    node: JoinHandle<Result<(), Error>>,
}

impl Miner {
    /// Registered, listed, and ready.
    pub(crate) async fn start(limits: CallerLimits) -> Self {
        // It asks itself a question before it is listed.
        let ends = Arc::new(Semaphore::new(1));
        let engine = serve(synapse_http::router(engine(&ends))).await.unwrap();
        let upstream = OpenAiModule::connect(&engine.url()).await.unwrap();
        let queue = QueueLayer::bounded(WAITING).concurrency(SLOTS);
        let module = stack(upstream, limits, &queue);

        let chain = LocalChain::in_memory();
        chain.create_subnet(SubnetId(7), SubnetParams::default()).unwrap();
        let subnet = chain.subnet(SubnetId(7)).await.unwrap();
        let key = Arc::new(Keypair::generate(Scheme::Sr25519).unwrap());
        join(&chain, &subnet, &key, Role::Miner, 100).await;
        let (stop, stopped) = oneshot::channel();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let node = MinerNode::new(subnet.with_signer(key.clone()), key.clone())
            .serve(server.drain_timeout(Duration::from_secs(5)), module)
            .run(async move {
                let _ = stopped.await;
            });
        let node = tokio::spawn(node);
        let mut directory = subnet.directory();
        let listed = async {
            loop {
                let current = directory.next().await.expect("the chain lives");
                if let Some(member) = current
                    .get(key.address())
                    .filter(|member| member.endpoint.is_some())
                {
                    return member.clone();
                }
            }
        };
        let member = timeout(PATIENCE, listed).await.expect("it is listed in time");
        Self {
            queue,
            chain,
            subnet,
            member,
            ends,
            engine,
            stop,
            node,
        }
    }

    /// A validator with this much at stake, as it asks this miner.
    pub(crate) async fn validator(&self, stake: u64) -> Validator {
        let key = Arc::new(Keypair::generate(Scheme::Sr25519).unwrap());
        join(&self.chain, &self.subnet, &key, Role::Validator, stake).await;
        let connect =
            SignedHttp::new(key.clone()).with(|builder| builder.allow_loopback(true).head_timeout(PATIENCE));
        Validator {
            name: key.address().as_str().to_owned(),
            miner: connect.connect(&self.member).unwrap(),
        }
    }

    /// How many requests of this one wait now.
    pub(crate) fn waiting_of(&self, validator: &Validator) -> usize {
        let status = self.queue.status();
        let caller = status
            .callers
            .iter()
            .find(|caller| caller.caller == validator.name);
        caller.map_or(0, |caller| caller.waiting)
    }

    /// Lets the engine end one more reply.
    pub(crate) fn end_one(&self) {
        self.ends.add_permits(1);
    }

    /// Lets it end whatever comes, from now on.
    pub(crate) fn end_all(&self) {
        self.ends.add_permits(1 << 20);
    }

    /// Stops it, and its engine after it.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.node.await.unwrap().unwrap();
        self.engine.stop().await.unwrap();
    }
}

/// The engine behind its layers, in the order in which the miner program has them.
fn stack(upstream: OpenAiModule, limits: CallerLimits, queue: &QueueLayer) -> impl InferenceModule + use<> {
    let monitor = ResourceMonitor::start();
    let meter = MeterLayer::new();
    let access = AccessLayer::new(AccessRules::default().limits(limits));
    // How much memory the machine has is not what is looked at here.
    let admission = AdmissionLayer::new(monitor.clone())
        .memory_headroom(0)
        .starting_at(u32::try_from(SLOTS).unwrap());
    let breaker = CircuitBreakerLayer::default();
    let layers = ServiceBuilder::new()
        .layer(meter.clone())
        .layer(access.clone())
        .layer(admission.clone())
        .layer(queue.clone())
        .layer(breaker.clone());
    upstream
        .with(layers)
        .attach(meter)
        .attach(access)
        .attach(admission)
        .attach(queue.clone())
        .attach(breaker)
        .attach(monitor)
}

async fn join(chain: &LocalChain, subnet: &LocalSubnet, key: &Arc<Keypair>, role: Role, stake: u64) {
    chain.fund(key.address(), Stake(10 * stake)).unwrap();
    let own = subnet.with_signer(key.clone());
    own.register_node(&**key, role, Stake(stake)).await.unwrap();
}

/// A validator, and the miner as it asks it.
#[derive(Clone)]
pub(crate) struct Validator {
    name: String,
    miner: Arc<dyn InferenceModule>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it came.
    Whole,
    /// It was refused before it began.
    Refused(Error),
    /// It began, and this came of it.
    Broken(usize, Option<Error>),
}

impl Validator {
    pub(crate) async fn ask(&self) -> Answer {
        let messages = Prompt::Messages(vec![Message::user("Go on.")]);
        let request = Request::new("told", messages).with_params(|params| {
            params.max_tokens = u32::try_from(WORDS).ok();
            params.stream = true;
        });
        let input = Input::from_request(Task::CHAT, request);
        let mut body = match self.miner.run_inference(input).await {
            Ok(output) => output.body,
            Err(error) => return Answer::Refused(error),
        };
        let mut words = 0;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => {
                    let deltas = chunk.deltas().expect("chunks of a chat");
                    words += deltas.iter().filter(|delta| delta.text == "word ").count();
                }
                Err(error) => return Answer::Broken(words, Some(error)),
            }
        }
        if words == WORDS {
            Answer::Whole
        } else {
            Answer::Broken(words, None)
        }
    }
}
