//! What a pool's witness is told, and requests that are for one member alone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    BlockNumber, Body, Caller, Chunk, Deadline, Delta, EpochId, Error, ErrorKind, FinishReason,
    InferenceModule, Input, Member, ModuleExt, Output, RequestId, Retry, Role, SubnetId, ToolCall,
    layers::DeadlineLayer,
};
use synapse_validator::{
    EvidenceLog,
    evidence::EpochEvidence,
    pool::{MinerPool, Only, Outcome, Sighting, Witness},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::fleet::{Fleet, Miner, ask, chat_with, endless_reply, read, reply, reply_then};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Sighting>>>);

impl Witness for Notes {
    fn saw(&self, sighting: &Sighting) {
        self.0.lock().unwrap().push(sighting.clone());
    }
}

impl Notes {
    fn take(&self) -> Vec<Sighting> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn told(&self) -> Vec<(String, Outcome)> {
        let told = self.take().into_iter();
        told.map(|sighting| (sighting.miner.to_string(), sighting.outcome))
            .collect()
    }
}

async fn watched(fleet: &Fleet) -> (MinerPool, Notes) {
    let notes = Notes::default();
    let pool = fleet.ordered().await.witness(notes.clone());
    (pool, notes)
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "scripted", "a scripted failure")
}

fn failed() -> Outcome {
    Outcome::Failed("scripted".into())
}

fn refused() -> Outcome {
    Outcome::Refused("scripted".into())
}

fn only(miner: &str, mut input: Input) -> Input {
    input.extensions_mut().insert(Only::new(miner.into()));
    input
}

#[tokio::test(start_paused = true)]
async fn a_whole_reply_is_told_with_its_times_and_its_text() {
    let slow = Miner::new(|_| async {
        sleep(Duration::from_millis(300)).await;
        let mut thought = Delta::default();
        thought.reasoning = "hmm".into();
        let call = Delta::tool_call(ToolCall::new(0, "c", "f", "{}"));
        let deltas = [
            Delta::text("hello"),
            thought,
            call,
            Delta::finish(FinishReason::Stop),
        ];
        Ok(Output::new(Body::from_deltas(deltas)))
    });
    let (pool, notes) = watched(&Fleet::of([("a", &slow)])).await;
    let mut input = ask("m");
    input.extensions_mut().insert(Caller::new("alice"));
    let output = pool.run_inference(input).await.unwrap();
    assert!(notes.take().is_empty(), "it is told once the body ended");
    sleep(Duration::from_millis(700)).await;
    read(output).await.unwrap();

    let [told] = <[Sighting; 1]>::try_from(notes.take()).unwrap();
    assert_eq!(
        (told.miner.as_str(), told.outcome, told.only),
        ("a", Outcome::Answered, false)
    );
    assert_eq!(told.caller, Some("alice".into()));
    assert_eq!(told.first_content, Some(Duration::from_millis(300)));
    assert_eq!(told.total, Duration::from_secs(1));
    assert_eq!((told.text_bytes, told.chunks), (10, 3));
    assert_eq!(told.waited, Duration::ZERO, "its client took the time");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_is_no_text() {
    let noisy = Miner::new(|_| async { Ok(Output::new(Body::whole(vec![b'x'; 5000]))) });
    let (pool, notes) = watched(&Fleet::of([("a", &noisy)])).await;
    read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
    assert_eq!(notes.take()[0].text_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_as_the_pool_takes_it() {
    async fn check(first: Miner, expect: Outcome) {
        let second = Miner::good();
        let (pool, notes) = watched(&Fleet::of([("a", &first), ("b", &second)])).await;
        read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
        let told = notes.told();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.contains(&("a".into(), expect)), "{told:?}");
        assert!(told.contains(&("b".into(), Outcome::Answered)), "{told:?}");
    }
    check(Miner::failing(error(ErrorKind::Unavailable)), failed()).await;
    check(Miner::failing(error(ErrorKind::Overloaded)), failed()).await;
    check(Miner::failing(error(ErrorKind::NotFound)), failed()).await;
    // It spoke of the caller's fault, and another one answered.
    let contradicted = Outcome::Contradicted("scripted".into());
    check(Miner::failing(error(ErrorKind::Invalid)), contradicted).await;
    let panics = Miner::new(|_| async { panic!("scripted") });
    check(panics, Outcome::Failed("module_panicked".into())).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_others_share_is_nobodys_failure() {
    let (first, second) = (
        Miner::failing(error(ErrorKind::Invalid)),
        Miner::failing(error(ErrorKind::TooLarge)),
    );
    let (pool, notes) = watched(&Fleet::of([("a", &first), ("b", &second)])).await;
    pool.run_inference(ask("m")).await.unwrap_err();
    let mut told = notes.told();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(told, [("a".into(), refused()), ("b".into(), refused())]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_although_its_client_leaves_meanwhile() {
    let (first, second) = (
        Miner::failing(error(ErrorKind::Invalid)),
        Miner::new(|_| std::future::pending()),
    );
    let (pool, notes) = watched(&Fleet::of([("a", &first), ("b", &second)])).await;
    let left = tokio::time::timeout(Duration::from_secs(2), pool.run_inference(ask("m"))).await;
    assert!(left.is_err());
    let mut told = notes.take();
    told.sort_by(|one, other| one.miner.cmp(&other.miner));
    assert_eq!((&told[0].outcome, told[0].total), (&refused(), Duration::ZERO));
    assert_eq!(
        (&told[1].outcome, told[1].total),
        (&Outcome::Dropped, Duration::from_secs(2))
    );
    assert_eq!(told.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn endings_of_a_body_are_told() {
    let broken = Miner::new(|_| async { Ok(reply_then(vec![Err(error(ErrorKind::Invalid))])) });
    let (pool, notes) = watched(&Fleet::of([("a", &broken)])).await;
    read(pool.run_inference(ask("m")).await.unwrap())
        .await
        .unwrap_err();
    assert_eq!(notes.told(), [("a".into(), failed())], "it had begun to answer");

    let endless = Miner::new(|_| async { Ok(endless_reply()) });
    let (pool, notes) = watched(&Fleet::of([("a", &endless)])).await;
    drop(pool.run_inference(ask("m")).await.unwrap());
    assert_eq!(notes.told(), [("a".into(), Outcome::Dropped)]);
}

#[tokio::test(start_paused = true)]
async fn a_callers_deadline_excuses_a_miner_where_it_was_short() {
    async fn check(given: u64, miner: &Miner, expect: Outcome) {
        // As a gateway has it, and as a module that keeps the deadline itself.
        let (pool, notes) = watched(&Fleet::of([("a", miner)])).await;
        let layered = pool.with(DeadlineLayer::new(Duration::from_secs(given)));
        let output = layered.run_inference(ask("m")).await;
        if let Ok(output) = output {
            read(output).await.unwrap_err();
        }
        assert_eq!(notes.told(), [("a".into(), expect)], "{given} s");
    }
    let late = || Outcome::Failed("deadline_exceeded".into());
    let silent = Miner::new(|_| std::future::pending());
    check(5, &silent, Outcome::Dropped).await;
    check(29, &silent, Outcome::Dropped).await;
    check(30, &silent, late()).await;
    check(200, &silent, late()).await;
    let stalls = Miner::new(|_| async { Ok(endless_reply()) });
    check(20, &stalls, Outcome::Dropped).await;
    check(40, &stalls, late()).await;
    // Slow it may be, but it goes on.
    let goes_on = Miner::new(|_| async { Ok(reply_every(Duration::from_secs(1))) });
    check(40, &goes_on, Outcome::Dropped).await;

    let itself = Miner::new(|input: Input| async move {
        let end = input.extensions().get::<Deadline>().unwrap().instant();
        tokio::time::sleep_until(end).await;
        Err(error(ErrorKind::Timeout))
    });
    for (given, expect) in [(5, Outcome::Dropped), (40, failed())] {
        let (pool, notes) = watched(&Fleet::of([("a", &itself)])).await;
        let mut input = ask("m");
        let end = Instant::now() + Duration::from_secs(given);
        input.extensions_mut().insert(Deadline::at(end));
        pool.run_inference(input).await.unwrap_err();
        assert_eq!(notes.told(), [("a".into(), expect)], "{given} s");
    }
}

/// A word every so often, for ever.
fn reply_every(pause: Duration) -> Output {
    let words = stream::repeat(()).then(move |()| async move {
        sleep(pause).await;
        Ok(Chunk::delta(Delta::text("some words ")))
    });
    Output::new(Body::new(Box::pin(words)))
}

#[tokio::test(start_paused = true)]
async fn only_the_time_in_which_a_miner_is_waited_for_is_its_own() {
    // Twenty words in two seconds, whoever reads them.
    let miner = Miner::new(|_| async {
        let (sender, receiver) = mpsc::channel(100);
        tokio::spawn(async move {
            for _ in 0..20 {
                sleep(Duration::from_millis(100)).await;
                let _ = sender.send(Ok(Chunk::delta(Delta::text("a few words ")))).await;
            }
            let end = Chunk::delta(Delta::finish(FinishReason::Stop)).into_last();
            let _ = sender.send(Ok(end)).await;
        });
        let words = stream::unfold(receiver, |mut receiver| async {
            Some((receiver.recv().await?, receiver))
        });
        Ok(Output::new(Body::new(Box::pin(words))))
    });
    let log = EvidenceLog::new();
    log.open(EpochEvidence::new(
        SubnetId(7),
        "v".into(),
        EpochId(1),
        BlockNumber(1),
    ));
    log.member(&Member::new("a", Role::Miner), None);
    let notes = Notes::default();
    let both = (log.clone(), notes.clone());
    let pool = Fleet::of([("a", &miner)])
        .ordered()
        .await
        .witness(Both(both.0, both.1));
    let speed = || {
        let evidence = log.snapshot().unwrap();
        let users = &evidence.miners[0].users;
        users.values().next().unwrap().speed_mtps.clone()
    };
    read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
    let waited = notes.take()[0].waited;
    assert_eq!(waited, Duration::from_millis(1900));
    let fast = speed();
    assert_eq!(fast.count(), 1);

    // The same by a client who reads a word every second.
    for _ in 0..5 {
        let mut body = pool.run_inference(ask("m")).await.unwrap().body;
        while let Some(chunk) = body.next().await {
            chunk.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        let told = notes.take();
        assert_eq!(
            (told[0].waited, told[0].total.as_secs()),
            (Duration::ZERO, 20),
            "{told:?}"
        );
    }
    assert_eq!(speed(), fast, "a slow client says nothing of the miner's speed");
}

/// Two who are told.
struct Both(EvidenceLog, Notes);

impl Witness for Both {
    fn saw(&self, sighting: &Sighting) {
        self.0.saw(sighting);
        self.1.saw(sighting);
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_panics_costs_nobody_a_reply() {
    struct Panics;
    impl Witness for Panics {
        fn saw(&self, _: &Sighting) {
            panic!("scripted");
        }
    }
    let miner = Miner::failing(error(ErrorKind::Invalid));
    let pool = Fleet::of([("a", &miner)]).ordered().await.witness(Panics);
    let failed = pool.run_inference(ask("m")).await.unwrap_err();
    assert_eq!(failed.code(), "scripted");
    miner.set_script(|_| async { Ok(reply()) });
    assert_eq!(
        read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap(),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_for_one_member_goes_to_it_alone_and_once() {
    let (first, second) = (Miner::good(), Miner::failing(error(ErrorKind::Unavailable)));
    let (pool, notes) = watched(&Fleet::of([("a", &first), ("b", &second)])).await;
    let failure = pool.run_inference(only("b", ask("m"))).await.unwrap_err();
    assert_eq!(failure.code(), "scripted");
    assert_eq!((first.asked(), second.asked()), (0, 1));
    let told = notes.take();
    assert_eq!((told.len(), told[0].only, &told[0].outcome), (1, true, &failed()));
}

#[tokio::test(start_paused = true)]
async fn an_ejected_member_is_still_asked_where_the_request_is_for_it() {
    let (first, second) = (Miner::failing(error(ErrorKind::Unavailable)), Miner::good());
    let (pool, _) = watched(&Fleet::of([("a", &first), ("b", &second)])).await;
    for _ in 0..3 {
        pool.run_inference(only("a", ask("m"))).await.unwrap_err();
    }
    read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
    assert_eq!(
        first.asked(),
        3,
        "probes that fail eject it, as users' requests do"
    );
    first.set_script(|_| async { Ok(reply()) });
    let output = pool.run_inference(only("a", ask("m"))).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"a".into()));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_ready_is_not_asked() {
    let (up, down) = (Miner::good(), Miner::down());
    let (pool, notes) = watched(&Fleet::of([("a", &up), ("b", &down)])).await;
    for miner in ["b", "nobody"] {
        let failure = pool.run_inference(only(miner, ask("m"))).await.unwrap_err();
        assert_eq!(failure.code(), "no_miner_ready");
        assert_eq!(failure.retry(), Retry::After(Duration::from_secs(1)));
    }
    assert_eq!((up.asked(), down.asked(), notes.take().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn not_to_know_what_one_does_not_claim_is_no_failure() {
    let honest = Miner::new(|input: Input| async move {
        match input.model()? {
            "m" => Ok(reply()),
            other => Err(Error::model_not_found(other)),
        }
    });
    let (pool, notes) = watched(&Fleet::of([("a", &honest), ("b", &Miner::good())])).await;
    for _ in 0..5 {
        let refusal = pool.run_inference(only("a", ask("another"))).await.unwrap_err();
        assert_eq!(refusal.code(), "model_not_found");
    }
    assert!(
        notes
            .take()
            .iter()
            .all(|told| told.outcome == Outcome::Refused("model_not_found".into()))
    );
    let output = pool.run_inference(ask("m")).await.unwrap();
    assert_eq!(output.head.served_by(), Some(&"a".into()), "it is not ejected");
}

#[tokio::test(start_paused = true)]
async fn the_member_cannot_see_that_it_alone_was_asked() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let miner = Miner::new(move |input: Input| {
        notes
            .lock()
            .unwrap()
            .push(input.extensions().get::<Only>().is_some());
        std::future::ready(Ok(reply()))
    });
    let (pool, _) = watched(&Fleet::of([("a", &miner)])).await;
    pool.run_inference(only("a", ask("m"))).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_one_member_brings_along_what_a_users_does() {
    let within = Duration::from_secs(600);
    let left = |input: &Input| {
        let deadline = *input.extensions().get::<Deadline>().unwrap();
        deadline.instant() - Instant::now()
    };
    let id = |input: &Input| input.extensions().get::<RequestId>().cloned().unwrap();
    let probe = || Only::new("a".into()).like_a_users(ask("m"), within);
    let (one, other) = (probe(), probe());
    assert_eq!((left(&one), id(&one).as_str().len()), (within, 32));
    assert_ne!(id(&one), id(&other));
    assert_eq!(one.extensions().get::<Only>(), Some(&Only::new("a".into())));
    // What it has it keeps.
    let again = Only::new("b".into()).like_a_users(one.clone(), Duration::MAX);
    assert_eq!((left(&again), id(&again)), (within, id(&one)));
    assert!(left(&Only::new("a".into()).like_a_users(ask("m"), Duration::MAX)) > within);
}

#[tokio::test(start_paused = true)]
async fn what_a_member_claims_can_be_asked_for() {
    let (up, down) = (Miner::good().serving(chat_with("m")), Miner::down());
    let (pool, _) = watched(&Fleet::of([("a", &up), ("b", &down)])).await;
    let claimed = pool.capabilities_of(&"a".into()).unwrap();
    assert!(claimed.model("m").is_some());
    assert!(pool.capabilities_of(&"b".into()).is_none());
    assert!(pool.capabilities_of(&"nobody".into()).is_none());
}
