//! Replicas of a real llama-server that come and go with demand. Two cores are all there is: what is shown is that nobody
//! is failed, not that four are faster than one.

#![cfg(target_os = "linux")]

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use parts::crowd::{Crowd, Tally};
use rustix::process::{Pid, Signal, kill_process};
use synapse_core::{InferenceModule, Input, Message, ModuleExt as _, Prompt, Request, Task};
use synapse_http::OpenAiModule;
use synapse_miner::{
    QueueLayer,
    inference::LlamaServerModule,
    scale::{ReplicaEvent, ReplicaSet, ScalePolicy},
    supervisor::{EngineReplicas, EngineSpec, RestartPolicy},
};
use tokio::time::{Instant, sleep};

/// Longer than any of it takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);
/// Requests that one engine works on at once.
const SLOTS: u32 = 2;
/// Users whom one engine cannot serve within the target wait.
const MANY: usize = 16;

/// Replicas behind a queue, their processes told from others by the model's name.
struct Scaled {
    name: &'static str,
    set: Arc<ReplicaSet<EngineReplicas>>,
    queue: QueueLayer,
    events: Arc<Mutex<Vec<ReplicaEvent>>>,
}

impl Scaled {
    fn new(name: &'static str) -> Self {
        let spec = EngineSpec::llama_server(parts::llama_server(), parts::model())
            .name(name)
            .threads(1)
            .args(["--threads-batch", "1", "--no-warmup", "--alias", name])
            .context(512)
            .slots(SLOTS)
            .restart(RestartPolicy::default().backoff(Duration::from_millis(200), Duration::from_secs(2)))
            .grace(Duration::from_secs(5));
        let replicas = EngineReplicas::new(spec, |url| async move {
            LlamaServerModule::local(OpenAiModule::builder(url).idle_timeout(PATIENCE))
        });
        let queue = QueueLayer::bounded(64).max_wait(PATIENCE);
        let policy = ScalePolicy::between(1, 4)
            .target_wait(Duration::from_millis(500))
            .up_after(Duration::from_secs(1))
            .down_after(Duration::from_secs(2));
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let set = ReplicaSet::new(replicas, 1)
            .scaled_by(policy, queue.clone())
            .start_within(PATIENCE)
            .on_event(move |event| {
                eprintln!("  {event}");
                heard.lock().expect("nobody panicked").push(event.clone());
            });
        Self {
            name,
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

    fn input(&self) -> Input {
        let messages = Prompt::Messages(vec![Message::user("Count from one to ten.")]);
        let request = Request::new(self.name, messages).with_params(|params| {
            params.max_tokens = Some(12);
            params.temperature = Some(0.0);
            params.stream = true;
        });
        Input::from_request(Task::CHAT, request)
    }

    fn events(&self) -> Vec<ReplicaEvent> {
        self.events.lock().expect("nobody panicked").clone()
    }

    /// The engines that live, the oldest first.
    fn processes(&self) -> Vec<u32> {
        let argument = format!("\0--alias\0{}\0", self.name);
        let mut found: Vec<(u64, u32)> = fs::read_dir("/proc")
            .expect("processes")
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let since = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse();
                line.contains(&argument).then_some((since.ok()?, pid))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, pid)| pid).collect()
    }

    /// Waits until as many are wanted, answer, and live.
    async fn has(&self, replicas: u32) -> Duration {
        let since = Instant::now();
        let all = replicas as usize;
        while (self.set.wanted(), self.set.ready(), self.processes().len()) != (replicas, all, all) {
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
}

/// Each was answered to the end.
fn all_whole(tally: &Tally) {
    assert_eq!((&tally.refused[..], &tally.cut[..]), (&[][..], &[][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_process_to_four_and_back_under_load_without_a_failed_request() {
    let scaled = Scaled::new("scaled-by-demand");
    let module = scaled.module();
    let began = Instant::now();
    module.initialize().await.expect("one is ready");
    eprintln!("scaled: the first engine was ready after {:.1?}", began.elapsed());
    let one = Crowd::gather(1, Duration::ZERO, &module, &scaled.input());
    one.served(8).await;
    assert_eq!((scaled.set.wanted(), scaled.processes().len()), (1, 1));
    assert_eq!(scaled.queue.status().places, 2);

    let many = Crowd::gather(MANY, Duration::ZERO, &module, &scaled.input());
    let came = Instant::now();
    let grown = scaled.has(4).await;
    eprintln!(
        "scaled: four engines {grown:.1?} after {MANY} more users came, {} replies meanwhile",
        many.so_far().whole
    );
    assert_eq!(scaled.queue.status().places, 8);
    many.served(2 * MANY).await;
    let (load, tally) = (came.elapsed(), many.leave().await);
    all_whole(&tally);
    eprintln!(
        "scaled: {} whole replies in {load:.1?}, the longest wait for a first token {:.1?}",
        tally.whole, tally.slowest
    );

    let shrunk = scaled.has(1).await;
    let tally = one.leave().await;
    all_whole(&tally);
    eprintln!(
        "scaled: one engine {shrunk:.1?} after they left; the one who stayed had {} whole replies",
        tally.whole
    );
    assert_eq!(scaled.queue.status().places, 2);

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
    assert_eq!(scaled.processes(), [] as [u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_that_are_killed_while_the_set_grows_lose_what_they_had_begun_at_most() {
    let scaled = Scaled::new("scaled-and-killed");
    let module = scaled.module();
    module.initialize().await.expect("one is ready");
    let crowd = Crowd::gather(MANY, Duration::ZERO, &module, &scaled.input());
    // Two answer, and the third is on its way.
    let since = Instant::now();
    while (scaled.set.ready(), scaled.processes().len()) != (2, 3) {
        assert!(since.elapsed() < PATIENCE, "{:?}", scaled.events());
        sleep(Duration::from_millis(5)).await;
    }
    let victims = scaled.processes();
    let (old, new) = (victims[0], victims[2]);
    kill(old);
    kill(new);
    let killed = Instant::now();
    scaled.has(4).await;
    let healed = killed.elapsed();
    let now = scaled.processes();
    assert!(!now.contains(&old) && !now.contains(&new), "{now:?}");
    crowd.served(2 * MANY).await;
    let tally = crowd.leave().await;
    eprintln!(
        "scaled: four engines {healed:.1?} after two were killed; {} whole replies, {} cut: {:?}",
        tally.whole,
        tally.cut.len(),
        tally.cut
    );
    assert_eq!(tally.refused, [] as [&str; 0]);
    assert!(tally.cut.len() <= SLOTS as usize, "{:?}", tally.cut);
    assert!(
        tally.cut.iter().all(|why| why.starts_with("engine_died: ")),
        "{:?}",
        tally.cut
    );
    module.shutdown().await.expect("they end");
    assert_eq!(scaled.processes(), [] as [u32; 0]);
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::KILL).expect("it is a process of this test's");
}
