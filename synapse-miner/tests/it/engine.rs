//! An engine that takes the time it is told, and notes what it starts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use synapse_core::{
    Body, Chunk, Deadline, Delta, Error, InferenceModule, Input, Message, ModuleExt, Output,
    testkit::Scripted,
};
use synapse_miner::QueueLayer;
use tokio::time::{Instant, sleep};

#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    started: Arc<Mutex<Vec<String>>>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// One request under way.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Engine {
    /// What was started, in order.
    pub(crate) fn started(&self) -> Vec<String> {
        self.started.lock().unwrap().clone()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    /// The most that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    /// This engine behind `queue`: a request for `name` takes what its text says, half of it for the head.
    ///
    /// `name 4` takes 4 s; `name 4 refuse`, `panic`, `break` or `burst` injects a fault: an error or a panic instead of
    /// the head, a body that fails, or one that panics.
    pub(crate) fn behind(&self, queue: &QueueLayer) -> impl InferenceModule + Clone {
        let engine = self.clone();
        let module = Scripted::new(move |input| {
            let engine = engine.clone();
            async move { engine.answer(&input).await }
        });
        module.with(queue.clone()).attach(queue.clone())
    }

    async fn answer(&self, input: &Input) -> Result<Output, Error> {
        let request = input.request()?;
        let text = request.messages()[0].content.text().unwrap().into_owned();
        let mut words = text.split(' ');
        let name = words.next().unwrap().to_owned();
        let time = Duration::from_secs(words.next().map_or(10, |seconds| seconds.parse().unwrap())) / 2;
        let fault = words.next().unwrap_or_default().to_owned();
        self.started.lock().unwrap().push(name);
        let now = self.running.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        let running = Running(self.running.clone());
        sleep(time).await;
        assert!(fault != "panic", "a fault injected into an engine");
        if fault == "refuse" {
            return Err(Error::internal(
                "engine_failed",
                "a fault injected into an engine",
            ));
        }
        Ok(Output::new(Body::new(words_of(fault, time, running))))
    }
}

fn words_of(
    fault: String,
    time: Duration,
    running: Running,
) -> impl Stream<Item = Result<Chunk, Error>> + Send {
    stream::iter([false, true]).then(move |last| {
        let (fault, _held) = (fault.clone(), &running);
        async move {
            if !last {
                return Ok(Chunk::delta(Delta::text("one ")));
            }
            sleep(time).await;
            assert!(fault != "burst", "a fault injected into a body");
            if fault == "break" {
                return Err(Error::broken("cut", "a fault injected into a body"));
            }
            Ok(Chunk::delta(Delta::text("two")).into_last())
        }
    })
}

pub(crate) fn ask(text: &str) -> Input {
    Input::chat("scripted", [Message::user(text)])
}

pub(crate) fn ask_until(text: &str, deadline: Duration) -> Input {
    let mut input = ask(text);
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + deadline));
    input
}

/// Asks and reads to the end; the last error's code where there is one.
pub(crate) async fn whole(module: &impl InferenceModule, input: Input) -> Result<(), String> {
    let mut output = module
        .run_inference(input)
        .await
        .map_err(|error| error.code().to_owned())?;
    while let Some(chunk) = output.body.next().await {
        chunk.map_err(|error| error.code().to_owned())?;
    }
    Ok(())
}
