//! What validators say, and how much of that is kept.

use std::sync::atomic::{AtomicUsize, Ordering};

use synapse_core::{Reason, ScoreReport};
use synapse_miner::ScoreSource;

use super::*;

/// Validators that say a lot.
#[derive(Clone, Default)]
struct Judges {
    /// Who was asked, in this order.
    asked: Arc<Mutex<Vec<NodeId>>>,
    /// How many there are now, and at most.
    at_once: Arc<[AtomicUsize; 2]>,
}

#[async_trait]
impl ScoreSource for Judges {
    async fn report(&self, validator: &Member) -> Result<ScoreReport, Error> {
        self.asked.lock().unwrap().push(validator.node.clone());
        let [now, most] = &*self.at_once;
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        sleep(Duration::from_millis(100)).await;
        now.fetch_sub(1, Ordering::Relaxed);
        let mut report = ScoreReport::new(SubnetId(7), validator.node.clone(), EpochId(3), Chain::node());
        report.score = Some(0.5);
        report.outcome = "submitted ".repeat(1_000);
        report.reasons = vec![Reason::new("speed ".repeat(1_000), "half as fast ".repeat(1_000)); 1_000];
        Ok(report)
    }
}

fn validator(name: &str, stake: u64) -> Member {
    let member = Member::new(name, Role::Validator).with_stake(Stake(stake));
    member.with_endpoint(Endpoint::http("https://validator.example.com").unwrap())
}

async fn asked_by(chain: &Chain, data: &Path, judges: Judges) -> Running {
    let node = MinerNode::new(chain.clone(), key())
        .served_elsewhere(StandardMiner::new(Engine::new()))
        .advertise(Endpoint::http(HERE).unwrap())
        .reachable_by(|_| async { Ok(()) })
        .register(once(110))
        .state(opened(data).await)
        .scores(judges);
    launch(node)
}

#[tokio::test(start_paused = true)]
async fn validators_are_asked_what_they_think_after_each_epoch() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    chain.set(validator("one", 1_000));
    chain.set(Member::new("nowhere", Role::Validator));
    let judges = Judges::default();
    let node = asked_by(&chain, data.path(), judges.clone()).await;
    for id in 1..4 {
        seconds(60).await;
        chain.enters(id);
    }
    seconds(60).await;
    let status = node.status.current();
    assert_eq!((status.scores.len(), status.scores[0].score), (1, Some(0.5)));
    assert_eq!(judges.asked.lock().unwrap().len(), 4);
    assert_eq!(node.said("scored"), 1, "of an epoch it is said once");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_cheap_validators_costs_little_and_hides_nobody() {
    let (chain, data) = (Chain::new(), tempfile::tempdir().unwrap());
    for cheap in 0..100 {
        chain.set(validator(&format!("a{cheap}"), 1));
    }
    for stake in [500, 700, 600] {
        chain.set(validator(&format!("z{stake}"), stake));
    }
    let judges = Judges::default();
    let node = asked_by(&chain, data.path(), judges.clone()).await;
    seconds(60).await;
    let asked = judges.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 64);
    assert_eq!(asked[..3], ["z700", "z600", "z500"].map(NodeId::from));
    assert_eq!(judges.at_once[1].load(Ordering::Relaxed), 4);
    let status = node.status.current();
    assert_eq!(status.scores.len(), 64);
    let seen = status.scores.last().unwrap();
    assert_eq!((seen.validator.as_str(), seen.reasons.len()), ("z700", 8));
    let Reason { code, text, .. } = &seen.reasons[0];
    assert_eq!([seen.outcome.len(), code.len(), text.len()], [256; 3]);
    // One that comes to more stake takes the place of another.
    chain.set(validator("late", 2));
    chain.enters(1);
    seconds(60).await;
    let status = node.status.current();
    assert_eq!(status.scores.len(), 64);
    assert!(status.scores.iter().any(|seen| seen.validator.as_str() == "late"));
}
