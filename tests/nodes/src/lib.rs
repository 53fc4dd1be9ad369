//! Nodes as processes of their own, each with a data directory of its own, started, signalled and ended by a test.

mod process;
mod programs;
mod reply;

pub use rustix::process::Signal;

pub use self::{
    process::{Node, Process},
    programs::program,
    reply::{Ending, Reply, ask, get},
};
