//! Users who ask a module for one thing after another, and what they got.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use synapse_core::{Body, Error, InferenceModule, Input};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// Longer than any reply takes on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Users who ask the same, each one request after another. They leave at once when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    users: Vec<JoinHandle<()>>,
}

/// What users got.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Replies that came whole: with content, to the reason why they end.
    pub whole: usize,
    /// Why requests got no content.
    pub refused: Vec<String>,
    /// Why replies broke off after their first content.
    pub cut: Vec<String>,
    /// What whole replies said, each text once.
    pub texts: BTreeSet<String>,
    /// The longest wait for a first content.
    pub slowest: Duration,
}

impl Crowd {
    /// So many users of `module` begin to ask `input`; each rests for `rest` after a reply.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn gather(
        users: usize,
        rest: Duration,
        module: &(impl InferenceModule + Clone),
        input: &Input,
    ) -> Self {
        let (tally, over) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let users = (0..users).map(|_| {
            let (module, input) = (module.clone(), input.clone());
            let (tally, over) = (tally.clone(), over.clone());
            tokio::spawn(async move {
                while !over.load(SeqCst) {
                    ask(&module, input.clone(), &tally).await;
                    sleep(rest).await;
                }
            })
        });
        let users = users.collect();
        Self { tally, over, users }
    }

    /// What they got so far.
    ///
    /// # Panics
    /// Where a user panicked.
    #[must_use]
    pub fn so_far(&self) -> Tally {
        self.tally.lock().expect("no user panicked").clone()
    }

    /// Waits until they got so many more whole replies.
    ///
    /// # Panics
    /// Where that takes minutes.
    pub async fn served(&self, more: usize) {
        let (until, end) = (self.so_far().whole + more, Instant::now() + PATIENCE);
        while self.so_far().whole < until {
            assert!(Instant::now() < end, "not served: {:?}", self.so_far());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets each of them finish what he reads, and tells what they got.
    ///
    /// # Panics
    /// Where a user panicked.
    pub async fn leave(mut self) -> Tally {
        self.over.store(true, SeqCst);
        for user in &mut self.users {
            user.await.expect("no user panicked");
        }
        self.so_far()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for user in &self.users {
            user.abort();
        }
    }
}

async fn ask(module: &impl InferenceModule, input: Input, tally: &Mutex<Tally>) {
    let asked = Instant::now();
    let answer = timeout(PATIENCE, module.run_inference(input)).await;
    let waited = asked.elapsed();
    let read = match answer {
        Ok(Ok(mut output)) => Ok(timeout(PATIENCE, read(&mut output.body)).await),
        Ok(Err(error)) => Err(told(&error)),
        Err(late) => Err(late.to_string()),
    };
    let mut tally = tally.lock().expect("no user panicked");
    match read {
        Ok(Ok(Ok(text))) => {
            tally.whole += 1;
            tally.texts.insert(text);
            tally.slowest = tally.slowest.max(waited);
        }
        Ok(Ok(Err(error))) => tally.cut.push(told(&error)),
        Ok(Err(late)) => tally.cut.push(late.to_string()),
        Err(why) => tally.refused.push(why),
    }
}

/// The text of a reply that ends as it should.
async fn read(body: &mut Body) -> Result<String, Error> {
    let (mut text, mut finished) = (String::new(), false);
    while let Some(chunk) = body.next().await {
        for delta in chunk?.deltas()? {
            text.push_str(&delta.text);
            finished |= delta.finish_reason.is_some();
        }
    }
    match finished && !text.is_empty() {
        true => Ok(text),
        false => Err(Error::broken("not_whole", "the reply has no content, or no end")),
    }
}

fn told(error: &Error) -> String {
    format!("{}: {}", error.code(), error.message())
}
