//! What an operator should know, said once.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use synapse_core::EpochId;

/// What a node's operator should know. Said once as it begins, and once more as it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// What it is.
    pub code: AlertCode,
    /// In which epoch, where it is about one.
    pub epoch: Option<EpochId>,
    /// What happened.
    pub text: String,
    /// What to do about it.
    pub hint: String,
    /// Whether it is over.
    #[serde(default)]
    pub over: bool,
}

/// What an [`Alert`] is about; the [module](super) has a table of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertCode {
    /// The chain said nothing for much longer than usual.
    ChainStalled,
    /// The chain went back to an epoch or a phase that was over.
    ChainWentBack,
    /// This validator is no member of the subnet.
    NotAMember,
    /// The subnet takes no weights of this validator.
    MayNotWeigh,
    /// No miner answers: rather this node's network than all of them.
    NoMinerReady,
    /// Miners are asked less often than they should be.
    ProbesLate,
    /// Nothing was seen in an epoch that scores could be made of, so nothing was submitted.
    NoOpinion,
    /// The policy panicked, took too long, or returned what are no scores: the last good weights are used.
    PolicyFault,
    /// What a `Validator` decides of a member or an answer panicked.
    JudgeFault,
    /// The chain does not take the weights now; it is tried again.
    SubmissionFailing,
    /// An epoch's weights were not submitted in time.
    WeightsMissed,
    /// The chain refused an epoch's weights.
    WeightsRefused,
    /// What the node knows cannot be written.
    StateUnwritable,
    /// What was stored of an epoch cannot be read, and was set aside.
    StateCorrupt,
    /// A task of the node panicked, and was begun again.
    TaskFailed,
}

impl AlertCode {
    /// The code's word: `chain_stalled`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChainStalled => "chain_stalled",
            Self::ChainWentBack => "chain_went_back",
            Self::NotAMember => "not_a_member",
            Self::MayNotWeigh => "may_not_weigh",
            Self::NoMinerReady => "no_miner_ready",
            Self::ProbesLate => "probes_late",
            Self::NoOpinion => "no_opinion",
            Self::PolicyFault => "policy_fault",
            Self::JudgeFault => "judge_fault",
            Self::SubmissionFailing => "submission_failing",
            Self::WeightsMissed => "weights_missed",
            Self::WeightsRefused => "weights_refused",
            Self::StateUnwritable => "state_unwritable",
            Self::StateCorrupt => "state_corrupt",
            Self::TaskFailed => "task_failed",
        }
    }

    /// What to do about it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::ChainStalled => "check that the chain makes blocks, and that this node reaches it",
            Self::ChainWentBack => "nothing to do: what the chain forgot is submitted again",
            Self::NotAMember => "register the validator, and check that it runs with that key",
            Self::MayNotWeigh => "register as a validator, with at least the stake that the subnet asks for",
            Self::NoMinerReady => "check this machine's network; the miners' own reasons are in the log",
            Self::ProbesLate => {
                "ask more miners at once (`probe.at_once`), or each less often (`probe.every`)"
            }
            Self::NoOpinion => "see that the validator reaches its miners and runs for a whole epoch",
            Self::PolicyFault => "run the policy over the stored epoch with a backtest, and correct it",
            Self::JudgeFault => "the panic is in the log; correct the validator's code",
            Self::SubmissionFailing => {
                "check that this node reaches the chain; it is tried until the window ends"
            }
            Self::WeightsMissed => {
                "keep the validator up while weights are taken, and check its way to the chain"
            }
            Self::WeightsRefused => "the chain's reason says what has to change",
            Self::StateUnwritable => "make room on the disk, and give this user the right to write there",
            Self::StateCorrupt => "check the disk; the file is kept beside, with the ending .corrupt",
            Self::TaskFailed => "the panic is in the log; report it",
        }
    }
}

impl fmt::Display for AlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.over { " is over" } else { "" };
        write!(f, "{}{over}: {}", self.code, self.text)?;
        match self.epoch {
            Some(epoch) => write!(f, " (epoch {epoch})"),
            None => Ok(()),
        }
    }
}

type Listener = dyn Fn(&Alert) + Send + Sync;

/// The alerts that are not over, at most one of a code. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Alerts {
    active: Arc<Mutex<BTreeMap<AlertCode, Alert>>>,
    listener: Option<Arc<Listener>>,
}

impl Alerts {
    pub(super) fn told_to(listener: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        Self {
            active: Arc::default(),
            listener: Some(Arc::new(listener)),
        }
    }

    /// Says it, unless that was said before and is not over; then only what the status shows is replaced.
    pub(super) fn raise(&self, code: AlertCode, epoch: Option<EpochId>, text: impl Into<String>) {
        self.raise_with(code, epoch, text, code.hint());
    }

    /// The same where the cause takes something else than usual.
    pub(super) fn raise_with(
        &self,
        code: AlertCode,
        epoch: Option<EpochId>,
        text: impl Into<String>,
        hint: &str,
    ) {
        let alert = Alert {
            code,
            epoch,
            text: text.into(),
            hint: hint.to_owned(),
            over: false,
        };
        if self.lock().insert(code, alert.clone()).is_none() {
            tracing::warn!(%code, epoch = epoch.map(|epoch| epoch.0), hint = alert.hint, "{}", alert.text);
            self.tell(&alert);
        }
    }

    /// Says that it is over, where it was said.
    pub(super) fn clear(&self, code: AlertCode) {
        let Some(mut alert) = self.lock().remove(&code) else {
            return;
        };
        alert.over = true;
        tracing::info!(%code, epoch = alert.epoch.map(|epoch| epoch.0), "over: {}", alert.text);
        self.tell(&alert);
    }

    /// Says that it is so, or that it is over.
    pub(super) fn set(&self, code: AlertCode, is_so: bool, text: impl FnOnce() -> String) {
        if is_so {
            self.raise(code, None, text());
        } else {
            self.clear(code);
        }
    }

    /// Those that are not over.
    pub(super) fn active(&self) -> Vec<Alert> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<AlertCode, Alert>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, alert: &Alert) {
        let Some(listener) = &self.listener else { return };
        if catch_unwind(AssertUnwindSafe(|| listener(alert))).is_err() {
            tracing::error!(code = %alert.code, "who listens to alerts panicked");
        }
    }
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts")
            .field("active", &*self.lock())
            .finish_non_exhaustive()
    }
}
