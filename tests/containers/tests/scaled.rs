//! Containers of one image that come and go with demand.

#![cfg(target_os = "linux")]

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use containers::{left, running};
use parts::crowd::{Crowd, Tally};
use synapse_container::{ContainerSpec, Owner, Runtime};
use synapse_core::{InferenceModule, Input, Message, ModuleExt as _, Prompt, Request, Task};
use synapse_miner::{
    QueueLayer,
    container::{ContainerModule, ContainerSpawner},
    scale::{ReplicaEvent, ReplicaSet, ScalePolicy},
};
use tokio::time::{Instant, sleep};

/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Users whom one container, which works on one request at once, cannot serve within the target wait.
const MANY: usize = 12;

/// Replicas behind a queue, their containers told from others by their owner.
struct Scaled {
    docker: String,
    owner: &'static str,
    set: Arc<ReplicaSet<ContainerSpawner>>,
    queue: QueueLayer,
    events: Arc<Mutex<Vec<ReplicaEvent>>>,
}

impl Scaled {
    async fn new(owner: &'static str) -> Self {
        let docker = parts::docker();
        let runtime = Runtime::connect_to(&docker, Owner::new(owner).expect("a name"))
            .await
            .expect("Docker runs");
        runtime.reconcile().await.expect("it answers");
        let spec = ContainerSpec::new(parts::image("shout"))
            .command(["--times", "4", "--pause-ms", "50"])
            .memory(64 << 20)
            .cpus(0.5)
            .processes(32);
        let terms = ContainerModule::builder(runtime, spec).patience(Duration::from_secs(10));
        let queue = QueueLayer::bounded(64).max_wait(PATIENCE);
        let policy = ScalePolicy::between(1, 4)
            .target_wait(Duration::from_millis(500))
            .up_after(Duration::from_secs(1))
            .down_after(Duration::from_secs(2));
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let set = ReplicaSet::new(ContainerSpawner::new(terms), 1)
            .scaled_by(policy, queue.clone())
            .start_within(PATIENCE)
            .on_event(move |event| {
                eprintln!("  {event}");
                heard.lock().expect("nobody panicked").push(event.clone());
            });
        Self {
            docker,
            owner,
            set: Arc::new(set),
            queue,
            events,
        }
    }

    fn module(&self) -> impl InferenceModule + Clone + use<> {
        self.set
            .clone()
            .with(self.queue.clone())
            .attach(self.queue.clone())
    }

    fn running(&self) -> Vec<String> {
        running(&self.docker, self.owner)
    }

    fn events(&self) -> Vec<ReplicaEvent> {
        self.events.lock().expect("nobody panicked").clone()
    }

    /// Waits until as many are wanted, answer, and run.
    async fn has(&self, replicas: u32) -> Duration {
        let since = Instant::now();
        let all = replicas as usize;
        while (self.set.wanted(), self.set.ready(), self.running().len()) != (replicas, all, all) {
            assert!(
                since.elapsed() < PATIENCE,
                "never {replicas}: {:?}, {:?}",
                self.set,
                self.events()
            );
            sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }

    /// Kills the container of the replica of this number, and tells its name.
    fn kill(&self, number: u32) -> String {
        let prefix = format!("synapse-{}-{number}-", self.owner);
        let mut running = self.running().into_iter();
        let victim = running.find(|name| name.starts_with(&prefix));
        let victim = victim.expect("it runs");
        let killed = Command::new("/usr/bin/docker")
            .args(["--host", &self.docker, "kill", &victim])
            .output()
            .expect("Docker's client is there");
        assert!(killed.status.success(), "{killed:?}");
        victim
    }
}

fn input() -> Input {
    let messages = Prompt::Messages(vec![Message::user("hello there")]);
    let request = Request::new("shout", messages).with_params(|params| params.stream = true);
    Input::from_request(Task::CHAT, request)
}

/// Each reply is what the module says, to the last word.
fn says_all(tally: &Tally) {
    let texts: Vec<&str> = tally.texts.iter().map(String::as_str).collect();
    assert_eq!(texts, ["HELLO THERE".repeat(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_container_to_four_and_back_under_load_without_a_failed_request() {
    let scaled = Scaled::new("test-scaled").await;
    let module = scaled.module();
    module.initialize().await.expect("one is ready");
    // One who rests more than he asks leaves even one container idle at times.
    let one = Crowd::gather(1, Duration::from_secs(2), &module, &input());
    one.served(2).await;
    assert_eq!((scaled.set.wanted(), scaled.running().len()), (1, 1));

    let many = Crowd::gather(MANY, Duration::ZERO, &module, &input());
    let came = Instant::now();
    let grown = scaled.has(4).await;
    eprintln!(
        "scaled: four containers {grown:.1?} after {MANY} more users came, {} replies meanwhile",
        many.so_far().whole
    );
    assert_eq!(scaled.queue.status().places, 4);
    many.served(4 * MANY).await;
    let (load, tally) = (came.elapsed(), many.leave().await);
    assert_eq!((&tally.refused[..], &tally.cut[..]), (&[][..], &[][..]));
    says_all(&tally);
    eprintln!(
        "scaled: {} whole replies in {load:.1?}, the longest wait for a first word {:.1?}",
        tally.whole, tally.slowest
    );

    let shrunk = scaled.has(1).await;
    let tally = one.leave().await;
    assert_eq!((&tally.refused[..], &tally.cut[..]), (&[][..], &[][..]));
    eprintln!(
        "scaled: one container {shrunk:.1?} after they left; the one who stayed had {} whole replies",
        tally.whole
    );
    assert_eq!(scaled.queue.status().places, 1);

    let events = scaled.events();
    let steps = events.iter().filter_map(|event| match event {
        ReplicaEvent::Wanted { before, now, waiting } => Some((*before, *now, *waiting > 0)),
        _ => None,
    });
    let up = [(1, 2, true), (2, 3, true), (3, 4, true)];
    let down = [(4, 3, false), (3, 2, false), (2, 1, false)];
    assert_eq!(steps.collect::<Vec<_>>(), [up, down].concat());
    let is_drained = |event: &&ReplicaEvent| matches!(event, ReplicaEvent::Stopped { cut_off: 0, .. });
    assert_eq!(events.iter().filter(is_drained).count(), 3, "{events:?}");
    module.shutdown().await.expect("they end");
    assert_eq!(left(&scaled.docker, scaled.owner), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_are_killed_while_the_set_grows_lose_what_they_had_begun_at_most() {
    let scaled = Scaled::new("test-scaled-killed").await;
    let module = scaled.module();
    module.initialize().await.expect("one is ready");
    let crowd = Crowd::gather(MANY, Duration::ZERO, &module, &input());
    // Two answer, and the third is on its way, or just there.
    let since = Instant::now();
    while scaled.set.ready() < 2 || scaled.running().len() < 3 {
        assert!(since.elapsed() < PATIENCE, "{:?}", scaled.events());
        sleep(Duration::from_millis(5)).await;
    }
    let victims = [scaled.kill(2), scaled.kill(0)];
    let killed = Instant::now();
    scaled.has(4).await;
    let healed = killed.elapsed();
    let now = scaled.running();
    assert!(!victims.iter().any(|victim| now.contains(victim)), "{now:?}");
    crowd.served(4 * MANY).await;
    let tally = crowd.leave().await;
    eprintln!(
        "scaled: four containers {healed:.1?} after two were killed; {} whole replies, {} cut: {:?}",
        tally.whole,
        tally.cut.len(),
        tally.cut
    );
    assert_eq!(tally.refused, [] as [&str; 0]);
    // The place of the first is given to another before it is seen to be gone, so that the second may have had two.
    assert!(tally.cut.len() <= 3, "{:?}", tally.cut);
    says_all(&tally);
    module.shutdown().await.expect("they end");
    assert_eq!(left(&scaled.docker, scaled.owner), [""; 0]);
}
