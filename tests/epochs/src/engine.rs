//! What the six miners answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use synapse_core::{
    Body, Chunk, Delta, Error, FinishReason, Health, InferenceModule, Input, MetricsData, ModelInfo,
    ModuleCapabilities, Output, Task, async_trait,
};
use tokio::time::{Instant, sleep};

/// The model that all of them claim.
pub(crate) const MODEL: &str = "words-1";
/// Tokens that an honest engine's context has room for.
const CONTEXT: u32 = 1024;
/// By what the miner that cheats tells users' requests from probes. A real one would have to guess; this one is told.
pub(crate) const USERS_MARK: &str = "my granny";
const WORDS: [&str; 8] = [
    "river ", "stone ", "yellow ", "seven ", "window ", "garden ", "quiet ", "morning ",
];

/// How a miner behaves in the epochs in which it does not behave well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Does what it claims.
    Honest,
    /// Takes five times as long for a word.
    Slow,
    /// Answers for a while, and refuses for a while.
    Flapping,
    /// Claims a context four times as long as the one it has.
    Lying,
    /// Answers probes, and fails two of three users.
    TwoFaced,
    /// Leaves the subnet, and comes back.
    Leaving,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Honest,
        Self::Slow,
        Self::Flapping,
        Self::Lying,
        Self::TwoFaced,
        Self::Leaving,
    ];

    /// Whether it misbehaves in the epoch of this number, counted from 1.
    #[must_use]
    pub fn misbehaves_in(self, epoch: u64) -> bool {
        match self {
            Self::Honest => false,
            Self::Slow => (4..=12).contains(&epoch),
            Self::Flapping => (3..=8).contains(&epoch),
            Self::Lying => (2..=11).contains(&epoch),
            Self::TwoFaced => (5..=9).contains(&epoch),
            Self::Leaving => (6..=10).contains(&epoch),
        }
    }

    /// A word for tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Slow => "slow",
            Self::Flapping => "flapping",
            Self::Lying => "lying",
            Self::TwoFaced => "two-faced",
            Self::Leaving => "leaving",
        }
    }
}

/// An engine of made-up words, a word a token.
#[derive(Debug, Clone)]
pub struct Engine {
    behaviour: Behaviour,
    pause: Duration,
    misbehaves: Arc<AtomicBool>,
    started: Instant,
    asked: Arc<AtomicU64>,
}

impl Engine {
    /// One that behaves so, with so long a pause before each word.
    #[must_use]
    pub fn new(behaviour: Behaviour, pause: Duration) -> Self {
        Self {
            behaviour,
            pause,
            misbehaves: Arc::default(),
            started: Instant::now(),
            asked: Arc::default(),
        }
    }

    /// Misbehaves from now on, or no longer.
    pub fn set_misbehaving(&self, misbehaves: bool) {
        self.misbehaves.store(misbehaves, Ordering::SeqCst);
    }

    fn is(&self, behaviour: Behaviour) -> bool {
        self.behaviour == behaviour && self.misbehaves.load(Ordering::SeqCst)
    }

    /// A flapping one answers for 0.6 s, and refuses for 0.6 s.
    fn is_down(&self) -> bool {
        self.is(Behaviour::Flapping) && !(self.started.elapsed().as_millis() / 600).is_multiple_of(2)
    }
}

#[async_trait]
impl InferenceModule for Engine {
    async fn initialize(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn health_check(&self) -> Result<Health, Error> {
        Ok(if self.is_down() {
            Health::unhealthy("the engine is down")
        } else {
            Health::ready()
        })
    }

    fn get_capabilities(&self) -> ModuleCapabilities {
        let claimed = if self.is(Behaviour::Lying) {
            CONTEXT * 4
        } else {
            CONTEXT
        };
        ModuleCapabilities::new("words")
            .with_task(Task::CHAT)
            .with_model(ModelInfo::new(MODEL).with_context_length(claimed))
            .with_streaming()
    }

    async fn run_inference(&self, input: Input) -> Result<Output, Error> {
        self.get_capabilities().check_input(&input)?;
        if self.is_down() {
            return Err(Error::unavailable("engine_down", "the engine is down"));
        }
        let request = input.request()?;
        let heard: String = request
            .messages()
            .iter()
            .filter_map(|message| message.content.text())
            .collect::<Vec<_>>()
            .join("\n");
        let tokens = heard.split_whitespace().count();
        if tokens > CONTEXT as usize {
            return Err(Error::invalid(
                "context_length_exceeded",
                format!("the prompt has {tokens} tokens, and the context {CONTEXT}"),
            ));
        }
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is(Behaviour::TwoFaced) && heard.contains(USERS_MARK) && !number.is_multiple_of(3) {
            return Err(Error::internal("engine_failed", "the engine failed"));
        }
        let words = request.params.max_tokens.unwrap_or(16).clamp(1, 32);
        let pause = if self.is(Behaviour::Slow) {
            self.pause * 5
        } else {
            self.pause
        };
        let mut body = Body::new(said(words, pause));
        body.peek().await?;
        Ok(Output::new(body))
    }

    fn get_metrics(&self) -> MetricsData {
        MetricsData::default()
    }
}

fn said(words: u32, pause: Duration) -> impl futures_util::Stream<Item = Result<Chunk, Error>> + use<> {
    let end = Chunk::delta(Delta::finish(FinishReason::Stop)).into_last();
    stream::iter(WORDS.into_iter().cycle().take(words as usize))
        .then(move |word| async move {
            sleep(pause).await;
            Ok(Chunk::delta(Delta::text(word)))
        })
        .chain(stream::iter([Ok(end)]))
}
