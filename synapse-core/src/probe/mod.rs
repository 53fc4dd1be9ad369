//! Questions that show how a miner does, and what its answers say about what it claims.
//!
//! A validator asks them of the miners of its subnet, and a miner of himself before he registers: the same questions, the
//! same verdict. They look like a user's, so that nobody can answer them better than users' own.

mod answer;
mod claim;
mod question;

pub use self::{
    answer::{Answer, ask},
    claim::{Claim, Finding, Verdict},
    question::{Probe, Questions},
};
