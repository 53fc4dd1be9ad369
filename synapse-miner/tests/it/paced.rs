//! A fake engine that works at a pace: it stands in for a real one where time is simulated, and injects nothing else.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Caller, Chunk, Deadline, Delta, Error, FinishReason, InferenceModule, Input, Message, Output,
    Stake, Usage, testkit::Scripted,
};
use synapse_miner::access::Standing;
use tokio::time::{Instant, sleep};

/// A reply of `max_tokens` tokens, each of which takes `pace(under way)`. It comes in two chunks and a count.
pub(crate) fn paced(
    running: &Arc<AtomicUsize>,
    pace: impl Fn(usize) -> Duration + Clone + Send + Sync + 'static,
) -> Scripted {
    let running = running.clone();
    Scripted::new(move |input: Input| {
        let (running, pace) = (running.clone(), pace.clone());
        async move {
            let tokens = input.max_tokens()?.unwrap_or(100);
            let under_way = UnderWay::begin(&running);
            let first = sleep_tokens(1, &running, &pace);
            first.await;
            let rest = stream::iter([false, true]).then(move |last| {
                let (running, pace, _held) = (running.clone(), pace.clone(), &under_way);
                async move {
                    if !last {
                        return Ok::<_, Error>(Chunk::delta(Delta::text("one ")));
                    }
                    sleep_tokens(tokens.saturating_sub(1), &running, &pace).await;
                    let usage = Usage {
                        input_tokens: 4,
                        output_tokens: u64::from(tokens),
                    };
                    Ok(Chunk::delta(Delta::finish(FinishReason::Length).with_usage(usage)).into_last())
                }
            });
            Ok(Output::new(Body::new(rest)))
        }
    })
}

/// Looks at how many are under way every eight tokens.
async fn sleep_tokens(mut tokens: u32, running: &AtomicUsize, pace: &impl Fn(usize) -> Duration) {
    while tokens > 0 {
        let some = tokens.min(8);
        sleep(pace(running.load(SeqCst)) * some).await;
        tokens -= some;
    }
}

struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, SeqCst);
        Self(running.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A request for a reply of so many tokens.
pub(crate) fn request(tokens: u32) -> Input {
    let mut input = Input::chat("scripted", [Message::user("Go on.")]);
    input.set_max_tokens(tokens).unwrap();
    input
}

/// The same of a caller whose stake nobody knows.
pub(crate) fn request_of(caller: &str, tokens: u32) -> Input {
    let mut input = request(tokens);
    input.extensions_mut().insert(Caller::new(caller));
    input
}

/// The same of a member of the subnet.
pub(crate) fn staked(node: &str, stake: u64, tokens: u32) -> Input {
    let mut input = request(tokens);
    input
        .extensions_mut()
        .insert(Standing::new(node.into(), Stake(stake)));
    input
}

pub(crate) fn within(mut input: Input, time: Duration) -> Input {
    input.extensions_mut().insert(Deadline::at(Instant::now() + time));
    input
}

/// What became of many requests.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    answered: BTreeMap<String, (u64, u64)>,
    refused: BTreeMap<String, u64>,
    /// Of those that began; as long as can be where they broke off.
    times: Vec<Duration>,
}

impl Tally {
    /// Asks, reads to the end, and notes it under `name`.
    pub(crate) async fn ask(&self, module: &impl InferenceModule, name: &str, input: Input) {
        let start = Instant::now();
        let tokens = u64::from(input.max_tokens().unwrap().unwrap_or(0));
        let mut begun = false;
        let answer = async {
            let mut output = module.run_inference(input).await?;
            begun = true;
            while let Some(chunk) = output.body.next().await {
                chunk?;
            }
            Ok::<(), Error>(())
        };
        let result = answer.await;
        let mut counted = self.0.lock().unwrap();
        match result {
            Ok(()) => {
                let (requests, all) = counted.answered.entry(name.to_owned()).or_default();
                *requests += 1;
                *all += tokens;
                counted.times.push(start.elapsed());
            }
            Err(_) if begun => counted.times.push(Duration::MAX),
            Err(error) => *counted.refused.entry(error.code().to_owned()).or_default() += 1,
        }
    }

    /// Tokens that this one was sent in whole replies.
    pub(crate) fn tokens(&self, name: &str) -> f64 {
        self.0
            .lock()
            .unwrap()
            .answered
            .get(name)
            .map_or(0.0, |(_, tokens)| *tokens as f64)
    }

    /// Refusals by code.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().refused.clone()
    }

    /// The time in which so many of a hundred replies that began were whole.
    pub(crate) fn quantile(&self, percent: usize) -> Duration {
        let mut times = self.0.lock().unwrap().times.clone();
        times.sort();
        times[(times.len() - 1) * percent / 100]
    }
}

/// Numbers that look random and repeat.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `from..to`.
    pub(crate) fn roll(&mut self, from: u32, to: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + u32::try_from(self.0 % u64::from(to - from)).unwrap()
    }
}
