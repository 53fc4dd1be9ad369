//! How a node asks its miners.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{
    EpochId, Error, ErrorKind, Member, ModuleCapabilities, Watch,
    probe::{Answer, Claim, Finding, Probe},
};
use synapse_validator::{ScorePolicy, Validator};
use tokio::time::sleep;

use crate::{
    fleet::{Miner, endless_reply, reply},
    node_world::{Answered, World, question, run},
};

#[tokio::test(start_paused = true)]
async fn a_miner_that_never_answers_costs_one_place_and_no_more() {
    let silent = || Miner::new(|_| async { std::future::pending().await });
    let world = World::of([
        ("a", Miner::good()),
        ("b", silent()),
        ("c", Miner::new(|_| async { Ok(endless_reply()) })),
    ]);
    let node = run(world.node().probes_at_once(3));
    sleep(Duration::from_secs(60)).await;
    node.stop().await.unwrap();
    let good = world.miners["a"].asked();
    assert!((50..=75).contains(&good), "{good} probes in 60 s");
    // Their question may take 5 s.
    for slow in ["b", "c"] {
        let asked = world.miners[slow].asked();
        assert!(
            (9..=13).contains(&asked),
            "{slow} was asked {asked} times in 60 s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_are_asked_at_once() {
    let silent = || Miner::new(|_| async { std::future::pending().await });
    let world = World::of([("a", silent()), ("b", silent()), ("c", silent()), ("d", silent())]);
    let node = run(world.node().probes_at_once(2));
    sleep(Duration::from_millis(4_900)).await;
    let asked: usize = world.miners.values().map(Miner::asked).sum();
    assert_eq!(asked, 2);
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_questions_are_spread_over_the_interval() {
    let names: Vec<String> = (0..40).map(|number| format!("miner-{number:02}")).collect();
    let mut world = World::of([]);
    for name in &names {
        world.miners.insert(name.clone(), Miner::good());
        world.chain.join_miner(name);
    }
    let node = run(world.node().probe_every(Duration::from_secs(100)));
    let asked = || world.miners.values().map(Miner::asked).sum::<usize>();
    sleep(Duration::from_secs(50)).await;
    let half = asked();
    assert!((10..=30).contains(&half), "{half} of 40 in half of the interval");
    sleep(Duration::from_secs(50)).await;
    assert!(world.miners.values().all(|miner| miner.asked() > 0));
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_interval_holds_at_once_and_not_only_after_the_old_one() {
    let world = World::of([("a", Miner::good())]);
    let (interval, following) = Watch::channel(Duration::from_secs(3600));
    let node = run(world.node().probe_following(following));
    sleep(Duration::from_secs(5)).await;
    let before = world.miners["a"].asked();
    assert!(before <= 1, "{before} in five seconds of an hour");
    interval.set(Duration::from_secs(1));
    sleep(Duration::from_secs(60)).await;
    node.stop().await.unwrap();
    let asked = world.miners["a"].asked() - before;
    assert!((45..=80).contains(&asked), "{asked} probes in 60 s");
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_is_not_ready_is_found_unavailable() {
    let world = World::of([("a", Miner::good()), ("b", Miner::down())]);
    let node = run(world.node());
    sleep(Duration::from_secs(30)).await;
    node.stop().await.unwrap();
    let record = world.state.get(EpochId(1)).unwrap().unwrap();
    let probes = &record.evidence.miner(&"b".into()).unwrap().probes;
    assert!(probes.asked > 10);
    assert_eq!(probes.failed.get("no_miner_ready"), Some(&probes.asked));
    assert_eq!(world.miners["b"].asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_no_miner_answers_the_operator_is_told() {
    let world = World::of([("a", Miner::down()), ("b", Miner::down())]);
    let node = run(world.node());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.alerts(), ["no_miner_ready"]);
    world.miners["a"].set_up(true);
    sleep(Duration::from_secs(60)).await;
    node.stop().await.unwrap();
    assert_eq!(world.alerts(), ["no_miner_ready", "no_miner_ready is over"]);
}

#[tokio::test(start_paused = true)]
async fn who_joins_is_asked_and_who_leaves_is_asked_no_more() {
    let mut world = World::of([("a", Miner::good())]);
    world.miners.insert("b".to_owned(), Miner::good());
    let node = run(world.node());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.miners["b"].asked(), 0);
    world.chain.join_miner("b");
    world.chain.leave("a");
    sleep(Duration::from_secs(2)).await;
    let left = world.miners["a"].asked();
    sleep(Duration::from_secs(10)).await;
    node.stop().await.unwrap();
    assert!(world.miners["b"].asked() > 6);
    assert_eq!(world.miners["a"].asked(), left);
    assert!(world.probes(1, "a") > 0, "what was seen of it stays");
}

/// Keeps the seeds and numbers of its questions.
#[derive(Clone, Default)]
struct Numbering(Arc<Mutex<Vec<(u64, u64)>>>);

impl Validator for Numbering {
    fn probe(&self, _: &Member, _: &ModuleCapabilities, seed: u64, number: u64) -> Option<Probe> {
        self.0.lock().unwrap().push((seed, number));
        Some(question())
    }

    fn policy(&self) -> &dyn ScorePolicy {
        &Answered
    }
}

/// The numbers of a miner's questions, who leaves after ten seconds and comes back.
async fn numbers_of_one_who_comes_back(seed: u64) -> (Vec<u64>, Vec<u64>) {
    let (world, asked) = (World::of([("a", Miner::good())]), Numbering::default());
    let node = run(world.node().seed(seed).judge(asked.clone()));
    let numbers = || {
        let asked = std::mem::take(&mut *asked.0.lock().unwrap());
        asked.into_iter().map(|(_, number)| number).collect()
    };
    sleep(Duration::from_secs(10)).await;
    let before = numbers();
    world.chain.leave("a");
    sleep(Duration::from_secs(5)).await;
    world.chain.join_miner("a");
    sleep(Duration::from_secs(10)).await;
    node.stop().await.unwrap();
    (before, numbers())
}

#[tokio::test(start_paused = true)]
async fn who_leaves_and_comes_back_is_asked_other_questions() {
    let (before, after) = numbers_of_one_who_comes_back(5).await;
    for numbers in [&before, &after] {
        assert!(numbers.len() > 5, "{numbers:?}");
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
    }
    assert!(after.iter().all(|number| !before.contains(number)));
    let (again, _) = numbers_of_one_who_comes_back(5).await;
    assert_eq!(again[0], before[0], "a run repeats from its seed");
    let (other, _) = numbers_of_one_who_comes_back(6).await;
    assert_ne!(other[0], before[0]);
}

#[tokio::test(start_paused = true)]
async fn where_the_interval_cannot_be_held_the_operator_is_told() {
    let slow = Miner::new(|_| async {
        sleep(Duration::from_secs(3)).await;
        Ok(reply())
    });
    let world = World::of([("a", slow.clone()), ("b", slow.clone()), ("c", slow.clone())]);
    let node = run(world.node().probes_at_once(1));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.alerts(), ["probes_late"]);
    slow.set_script(|_| async { Ok(reply()) });
    sleep(Duration::from_secs(30)).await;
    node.stop().await.unwrap();
    assert_eq!(world.alerts(), ["probes_late", "probes_late is over"]);
}

/// Admits all but `b`, claims to have found `a` lying, and panics where it is told to.
struct Author {
    panics: &'static str,
}

impl Validator for Author {
    fn admit(&self, member: &Member) -> Result<(), Error> {
        assert_ne!(self.panics, "admit", "injected");
        if member.node.as_str() == "b" {
            return Err(Error::new(ErrorKind::Forbidden, "too_young", "it is too young"));
        }
        Ok(())
    }

    fn probe(&self, _: &Member, _: &ModuleCapabilities, _: u64, _: u64) -> Option<Probe> {
        assert_ne!(self.panics, "probe", "injected");
        Some(question())
    }

    fn judge(&self, _: &Probe, _: &Answer) -> Vec<Finding> {
        assert_ne!(self.panics, "judge", "injected");
        vec![Finding::broken(Claim::Streaming, "it came at once")]
    }

    fn policy(&self) -> &dyn ScorePolicy {
        &Answered
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_admitted_is_not_asked_and_told_why() {
    let world = World::of([("a", Miner::good()), ("b", Miner::good())]);
    let node = run(world.node().judge(Author { panics: "" }));
    world.epoch(1).await;
    node.stop().await.unwrap();
    assert_eq!(world.miners["b"].asked(), 0);
    let record = world.state.get(EpochId(1)).unwrap().unwrap();
    let refused = &record.evidence.miner(&"b".into()).unwrap().refused;
    assert_eq!(refused.as_deref(), Some("it is too young"));
    let claims = &record.evidence.miner(&"a".into()).unwrap().claims;
    assert_eq!(
        claims[&Claim::Streaming.to_string()].why.as_deref(),
        Some("it came at once")
    );
}

#[tokio::test(start_paused = true)]
async fn an_author_whose_code_panics_is_told_and_harms_no_miner() {
    for panics in ["admit", "probe", "judge"] {
        let world = World::of([("a", Miner::good())]);
        let node = run(world.node().judge(Author { panics }));
        sleep(Duration::from_secs(10)).await;
        node.stop().await.unwrap();
        assert_eq!(world.alerts(), ["judge_fault"], "{panics}");
        let record = world.state.get(EpochId(1)).unwrap().unwrap();
        let miner = record.evidence.miner(&"a".into()).unwrap();
        assert_eq!(
            (miner.refused.clone(), miner.probes.failures()),
            (None, 0),
            "{panics}"
        );
        assert_eq!(miner.probes.asked > 0, panics != "probe", "{panics}");
    }
}

#[tokio::test(start_paused = true)]
async fn users_requests_count_beside_the_probes() {
    let world = World::of([("a", Miner::good())]);
    let pool = Arc::new(world.pool());
    let node = run(world
        .node()
        .pool(pool.clone())
        .probe_every(Duration::from_secs(3600)));
    sleep(Duration::from_secs(1)).await;
    let output = synapse_core::InferenceModule::run_inference(&*pool, crate::fleet::ask("m"))
        .await
        .unwrap();
    crate::fleet::read(output).await.unwrap();
    node.stop().await.unwrap();
    let record = world.state.get(EpochId(1)).unwrap().unwrap();
    let users = &record.evidence.miner(&"a".into()).unwrap().users;
    assert_eq!(users.values().map(|tally| tally.answered).sum::<u64>(), 1);
}
