//! Questions that show how a miner does, and what its answers say about what it claims.
//!
//! A validator asks them of the miners of its subnet, and a miner of himself before he registers: the same questions, the
//! same verdict. They look like a user's, so that nobody can answer them better than users' own.
//!
//! ```
//! use synapse_core::{InferenceModule, probe::{Questions, ask}, testkit::Echo};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let (miner, questions) = (Echo::new(), Questions::new(7));
//! let probe = questions.ask(&miner.get_capabilities(), 0).expect("an echo claims chats");
//! let answer = ask(&miner, probe.input.clone(), probe.limit).await;
//! for finding in probe.judge(&answer) {
//!     println!("{}: {:?}", finding.claim, finding.verdict);
//! }
//! # });
//! ```

mod answer;
mod claim;
mod judge;
mod made_up;
mod pace;
mod question;
mod random;
mod words;

pub use self::{
    answer::{Answer, ask},
    claim::{Claim, Finding, Verdict},
    pace::Pace,
    question::{Probe, Questions},
};
