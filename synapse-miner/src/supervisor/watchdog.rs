//! When an engine counts as hung.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::restart::LONGEST;

/// Looks that a verdict needs at least: one may have been disturbed, as when this machine stood still.
const LOOKS: u32 = 3;
/// Those that one needs which the system itself gives.
const SURE_LOOKS: u32 = 2;

/// When an engine that lives counts as hung. It is killed then, and started again.
///
/// The defaults are generous: a long prompt is progress where the engine tells how far it is, and is not waited for
/// forever where it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Watchdog {
    pub(super) every: Duration,
    pub(super) stopped: Duration,
    unresponsive: Duration,
    stuck: Duration,
    silent: Duration,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            stopped: Duration::from_secs(3),
            unresponsive: Duration::from_secs(20),
            stuck: Duration::from_secs(180),
            silent: Duration::from_secs(900),
        }
    }
}

impl Watchdog {
    /// How often it looks. 1 s unless set.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How long one of its processes may be stopped (`SIGSTOP`) while it does not answer or somebody waits for it. 3 s
    /// unless set; Linux only.
    pub fn stopped(mut self, limit: Duration) -> Self {
        self.stopped = limit;
        self
    }

    /// How long its probe may go unanswered. 20 s unless set.
    pub fn unresponsive(mut self, limit: Duration) -> Self {
        self.unresponsive = limit;
        self
    }

    /// How long it may work on something without a token made or a part of a prompt read, where it tells of those:
    /// llama-server and vLLM. 3 minutes unless set; a part of a prompt may take that on a slow processor.
    pub fn stuck(mut self, limit: Duration) -> Self {
        self.stuck = limit;
        self
    }

    /// The same of one that does not tell, such as Ollama: how long requests of ours may be under way without anything
    /// arriving. 15 minutes unless set, since a reply that is not streamed arrives all at once.
    pub fn silent(mut self, limit: Duration) -> Self {
        self.silent = limit;
        self
    }
}

/// What one look at an engine saw.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sight {
    /// Whether its probe answered.
    pub(super) answered: bool,
    /// Whether one of its processes is stopped.
    pub(super) stopped: bool,
    /// Whether anything is under way.
    pub(super) busy: bool,
    /// What changes whenever it makes or reads a token, or a chunk of its arrives.
    pub(super) mark: u64,
    /// Whether that tells of every token.
    pub(super) shows_progress: bool,
}

/// Why it counts as hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hang {
    Stopped(Duration),
    Unresponsive(Duration),
    Stuck(Duration),
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(time) => write!(f, "was stopped by a signal for {:.0} s", time.as_secs_f64()),
            Self::Unresponsive(time) => write!(f, "did not answer its probe for {:.0} s", time.as_secs_f64()),
            Self::Stuck(time) => write!(
                f,
                "made no token for {:.0} s while requests were under way",
                time.as_secs_f64()
            ),
        }
    }
}

/// What was seen of an engine so far.
#[derive(Debug)]
pub(super) struct Seen {
    policy: Watchdog,
    answered: Since,
    running: Since,
    moved: Since,
    mark: Option<u64>,
}

/// When something was last so, and how many looks saw that it was not, since.
#[derive(Debug, Clone, Copy)]
struct Since {
    last: Instant,
    misses: u32,
}

impl Since {
    fn look(&mut self, now: Instant, is_so: bool) {
        if is_so {
            (self.last, self.misses) = (now, 0);
        } else {
            self.misses += 1;
        }
    }

    fn longer_than(&self, now: Instant, limit: Duration, looks: u32) -> Option<Duration> {
        let gone = now.duration_since(self.last);
        (self.misses >= looks && gone >= limit).then_some(gone)
    }
}

impl Seen {
    pub(super) fn new(policy: Watchdog, now: Instant) -> Self {
        let since = Since { last: now, misses: 0 };
        Self {
            policy,
            answered: since,
            running: since,
            moved: since,
            mark: None,
        }
    }

    /// Whether nothing moved at the last look although something should have.
    pub(super) fn is_suspicious(&self) -> bool {
        self.answered.misses > 0 || self.moved.misses > 1
    }

    /// What to make of another look.
    pub(super) fn look(&mut self, now: Instant, sight: Sight) -> Option<Hang> {
        self.answered.look(now, sight.answered);
        self.running.look(now, !sight.stopped);
        self.moved.look(now, !sight.busy || self.mark != Some(sight.mark));
        self.mark = Some(sight.mark);
        let stuck = match sight.shows_progress {
            true => self.policy.stuck,
            false => self.policy.silent,
        };
        let stopped = self.running.longer_than(now, self.policy.stopped, SURE_LOOKS);
        let unresponsive = self.answered.longer_than(now, self.policy.unresponsive, LOOKS);
        let stuck = self.moved.longer_than(now, stuck, LOOKS);
        stopped
            .map(Hang::Stopped)
            .or(unresponsive.map(Hang::Unresponsive))
            .or(stuck.map(Hang::Stuck))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Sight = Sight {
        answered: true,
        stopped: false,
        busy: false,
        mark: 0,
        shows_progress: true,
    };

    /// A look a second, each as `sight` says of its number; how many until it counts as hung, of 2000.
    fn hung_after(sight: impl Fn(u64) -> Sight) -> Option<(u64, Hang)> {
        let start = Instant::now();
        let mut seen = Seen::new(Watchdog::default(), start);
        (1..2000).find_map(|second| {
            let hang = seen.look(start + Duration::from_secs(second), sight(second))?;
            Some((second, hang))
        })
    }

    #[test]
    fn an_idle_engine_is_never_hung() {
        assert_eq!(hung_after(|_| WELL), None);
    }

    #[test]
    fn a_long_prompt_is_not_hung_as_long_as_it_goes_on() {
        let reading = |second| Sight {
            busy: true,
            mark: second / 100,
            ..WELL
        };
        assert_eq!(hung_after(reading), None);
    }

    #[test]
    fn a_busy_engine_whose_tokens_stop_is_hung() {
        let stops = |second: u64| Sight {
            busy: true,
            mark: second.min(50),
            ..WELL
        };
        let (after, hang) = hung_after(stops).expect("it hangs");
        assert_eq!((after, hang), (230, Hang::Stuck(Duration::from_secs(180))));
    }

    #[test]
    fn one_that_does_not_tell_of_tokens_is_given_longer() {
        let silent = |_| Sight {
            busy: true,
            shows_progress: false,
            ..WELL
        };
        let (after, hang) = hung_after(silent).expect("it hangs");
        assert!(after >= 900 && matches!(hang, Hang::Stuck(_)), "{after} {hang:?}");
    }

    #[test]
    fn one_that_does_not_answer_is_hung_and_one_that_is_stopped_is_sooner() {
        let gone = |stopped| {
            move |_| Sight {
                answered: false,
                stopped,
                ..WELL
            }
        };
        let (after, hang) = hung_after(gone(false)).expect("it hangs");
        assert_eq!((after, hang), (20, Hang::Unresponsive(Duration::from_secs(20))));
        let (after, hang) = hung_after(gone(true)).expect("it hangs");
        assert_eq!((after, hang), (3, Hang::Stopped(Duration::from_secs(3))));
    }

    #[test]
    fn one_look_that_failed_after_a_long_pause_of_this_machine_says_nothing() {
        let start = Instant::now();
        let mut seen = Seen::new(Watchdog::default(), start);
        let missed = Sight {
            answered: false,
            ..WELL
        };
        assert_eq!(seen.look(start + Duration::from_secs(3600), missed), None);
        assert_eq!(seen.look(start + Duration::from_secs(3601), WELL), None);
    }
}
