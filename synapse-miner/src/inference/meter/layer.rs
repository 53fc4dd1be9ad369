//! The layer that watches.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use synapse_core::{
    Attached, Chunk, Ending, Error, InferenceService, Input, MetricsData, Middleware, MiddlewareService,
    Next, Output, Pending, Tap, Usage,
};
use tokio::time::Instant;
use tower::Layer;

use super::{
    tail::{self, Timed},
    totals::{Done, Totals},
};

/// How many events at the end of a reply may say what it took: the finish, the count, the engine's own times.
const TAIL: usize = 3;

/// Counts requests, times and tokens; a clone of it is what is [attached](synapse_core::Stack::attach).
///
/// Put it where the wait that it measures begins: around the engine alone, or around the queue too. It parses nothing while a
/// reply streams. It holds on to the last three events, and once the reply is over reads from them what the engine says it took: the
/// `timings` of llama-server, the durations of Ollama, else only the count of tokens, and then the reply's own clock
/// stands in for the engine's.
///
/// | metric | what it is |
/// | --- | --- |
/// | `inference.requests{outcome}` | requests that ended `complete`, `broken` (a reply that failed), `dropped` (the caller left), `refused` (by its fault, or for want of room), `failed` (before the first content) |
/// | `inference.errors{code}` | those that were refused, failed or broke, by the error's code |
/// | `inference.in_flight` | requests under way |
/// | `inference.input_tokens`, `inference.output_tokens` | tokens of whole replies, as the engine counts |
/// | `inference.first_contents`, `inference.first_content_seconds` | replies that began, and how long those took together |
/// | `inference.first_content_p50_seconds`, `…_p99_seconds` | the same, of the last 512 |
/// | `inference.prefill_tokens`, `inference.prefill_seconds` | prompts that were computed (not found in a cache), and the time of it, where the engine says |
/// | `inference.decode_tokens`, `inference.decode_seconds` | tokens that were made, and the time of it |
/// | `inference.prefill_tokens_per_second`, `inference.decode_tokens_per_second` | the mean speed of one request, over the last 512 |
#[derive(Debug, Clone, Default)]
pub struct MeterLayer(Arc<Totals>);

impl MeterLayer {
    /// Counts from zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = MiddlewareService<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        MiddlewareService::new(Arc::new(self.clone()), inner)
    }
}

impl Middleware for MeterLayer {
    async fn handle<S: InferenceService>(&self, input: Input, next: Next<S>) -> Result<Output, Error> {
        self.0.begin();
        let mut pending = Pending::new(Watch {
            totals: self.0.clone(),
            began: Instant::now(),
            first: None,
            events: 0,
            tail: VecDeque::new(),
            usage: None,
        });
        let answer = next.run(input).await;
        if answer.is_ok() {
            pending.tap_mut().first = Some(Instant::now());
        }
        pending.settle(answer)
    }
}

/// One request under way.
struct Watch {
    totals: Arc<Totals>,
    began: Instant,
    /// When its first content was there.
    first: Option<Instant>,
    /// How many there were.
    events: u64,
    /// The last events as they came.
    tail: VecDeque<Bytes>,
    /// What a module in Rust says it took.
    usage: Option<Usage>,
}

impl Tap for Watch {
    fn on_chunk(&mut self, chunk: &Chunk) {
        self.events += 1;
        match chunk.wire() {
            Some(event) => {
                if self.tail.len() == TAIL {
                    self.tail.pop_front();
                }
                self.tail.push_back(event.clone());
            }
            None => self.usage = chunk.usage().or(self.usage),
        }
    }

    fn on_end(&mut self, ending: &Ending) {
        let mut done = Done {
            first_content: self.first.map(|first| first - self.began),
            ..Done::default()
        };
        if let (Ending::Complete, Some(first)) = (ending, self.first) {
            let mut told = tail::read(self.tail.make_contiguous());
            told.usage = told.usage.or(self.usage);
            // The first token came with the first content.
            let seconds = first.elapsed().as_secs_f64();
            let measured = told
                .usage
                .filter(|usage| usage.output_tokens > 1 && seconds > 0.0)
                // A reply that came at once took its time before.
                .filter(|_| self.events > 1);
            done.usage = told.usage;
            done.prefill = told.prefill;
            done.decode = told.decode.or(measured.map(|usage| Timed {
                tokens: usage.output_tokens - 1,
                seconds,
            }));
        }
        self.totals.end(ending, &done);
    }
}

impl Attached for MeterLayer {
    fn metrics(&self, metrics: &mut MetricsData) {
        self.0.report(metrics);
    }
}
