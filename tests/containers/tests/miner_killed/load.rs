//! Users of a gateway, who ask without a pause, and what became of each request.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use nodes_tests::{Ending, Reply, ask, ask_whole};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How many streams, and how many whole replies, are under way at once.
const STREAMS: usize = 4;
const WHOLE: usize = 2;
const PROMPT: &str = "are you there";
/// How long a user breathes between two requests.
const BREATH: Duration = Duration::from_millis(20);
/// Longer than any request may take: one that ends neither way hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request that ended.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// Who answered; known of complete replies alone.
    pub(crate) outcome: Outcome,
}

/// How it ended: these two are all that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a complete reply of this miner.
    Complete(String),
    /// With an error that has this code.
    Error(String),
}

/// Constant load. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    asked: Arc<Mutex<Vec<Asked>>>,
    users: JoinSet<()>,
    over: watch::Sender<bool>,
}

impl Load {
    /// Starts it. `shouts` are the miners whose complete reply is known, and what it is.
    pub(crate) fn start(gateway: SocketAddr, shouts: BTreeMap<String, u32>) -> Self {
        let (asked, shouts) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::new(shouts));
        let over = watch::Sender::new(false);
        let mut users = JoinSet::new();
        for number in 0..STREAMS + WHOLE {
            let (asked, shouts, over) = (asked.clone(), shouts.clone(), over.subscribe());
            users.spawn(async move {
                while !*over.borrow() {
                    let begun = Instant::now();
                    let outcome = timeout(PATIENCE, request(gateway, number < STREAMS, &shouts)).await;
                    let outcome = outcome.expect("a request ends, one way or another");
                    let ended = Instant::now();
                    asked.lock().unwrap().push(Asked {
                        begun,
                        ended,
                        outcome,
                    });
                    sleep(BREATH).await;
                }
            });
        }
        Self { asked, users, over }
    }

    /// What became of all requests so far. Fails where a user saw what must never be.
    pub(crate) fn so_far(&mut self) -> Vec<Asked> {
        if let Some(ended) = self.users.try_join_next() {
            ended.expect("no user saw what must never be");
        }
        self.asked.lock().unwrap().clone()
    }

    /// When this miner first gave a complete reply to a request that began after `since`.
    pub(crate) fn answered(&mut self, miner: &str, since: Instant) -> Option<Instant> {
        let asked = self.so_far();
        let later = asked.iter().filter(|asked| asked.begun > since);
        later
            .filter(|asked| asked.outcome == Outcome::Complete(miner.to_owned()))
            .map(|asked| asked.ended)
            .min()
    }

    /// How many requests ended in which way.
    pub(crate) fn endings(&self) -> BTreeMap<String, usize> {
        let mut endings = BTreeMap::new();
        for asked in self.asked.lock().unwrap().iter() {
            *endings.entry(format!("{:?}", asked.outcome)).or_default() += 1;
        }
        endings
    }

    /// Lets each request end, and says what became of all of them.
    pub(crate) async fn end(mut self) -> Vec<Asked> {
        self.over.send_replace(true);
        while let Some(ended) = self.users.join_next().await {
            ended.expect("no user saw what must never be");
        }
        self.asked.lock().unwrap().clone()
    }
}

/// One request.
///
/// # Panics
/// Where it ends neither with a complete reply nor with an error that has a code.
async fn request(gateway: SocketAddr, streamed: bool, shouts: &BTreeMap<String, u32>) -> Outcome {
    let asked = match streamed {
        true => ask(gateway, PROMPT).await,
        false => ask_whole(gateway, PROMPT).await,
    };
    let mut reply = asked.expect("the gateway answers, whoever of its miners is gone");
    let miner = reply.miner().map(str::to_owned);
    let error = reply.status() != 200 || (streamed && is_error(&mut reply).await);
    let text = reply.text().await;
    if error {
        return Outcome::Error(code(&text));
    }
    let (said, reason) = match streamed {
        true => streamed_reply(&text),
        false => whole_reply(&text),
    };
    let miner = miner.expect("a reply names its miner");
    assert!(
        ["stop", "length"].contains(&reason.as_str()),
        "a reply of {miner} ended without a reason: {text}"
    );
    if let Some(times) = shouts.get(&miner) {
        // Each word with the space that follows it.
        let whole = PROMPT.to_uppercase().repeat(usize::try_from(*times).unwrap());
        assert_eq!(said, whole, "a reply of {miner} was cut, and taken for complete");
    }
    Outcome::Complete(miner)
}

async fn is_error(reply: &mut Reply) -> bool {
    match reply.ending().await {
        Ending::Complete => false,
        Ending::Error => true,
        Ending::Silent => panic!("a stream ended in silence: {:?}", reply.text().await),
    }
}

/// The code of an error: of a whole body, or of a stream's last event.
fn code(text: &str) -> String {
    let last = text.trim_end().rsplit("data: ").next().unwrap_or_default();
    let error: Option<Value> = serde_json::from_str(last).ok();
    let code = error.as_ref().and_then(|error| error["error"]["code"].as_str());
    code.unwrap_or_else(|| panic!("an error has a code: {text:?}"))
        .to_owned()
}

/// What it said, and why it ended.
fn streamed_reply(text: &str) -> (String, String) {
    let (mut said, mut reason) = (String::new(), String::new());
    let events = text
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "));
    for event in events.filter(|event| *event != "[DONE]") {
        let event: Value = serde_json::from_str(event).expect("an event is JSON");
        let choice = &event["choices"][0];
        said.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        reason.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    (said, reason)
}

fn whole_reply(text: &str) -> (String, String) {
    let reply: Value =
        serde_json::from_str(text).unwrap_or_else(|_| panic!("a whole reply is JSON: {text:?}"));
    let choice = &reply["choices"][0];
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (of(&choice["message"]["content"]), of(&choice["finish_reason"]))
}
