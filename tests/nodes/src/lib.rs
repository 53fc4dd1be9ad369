//! Nodes as processes of their own, each with a data directory of its own, started, signalled and ended by a test.

mod blocks;
mod gateway;
mod process;
mod programs;
mod random;
mod reply;
mod subnet;
mod wire;

pub use rustix::process::Signal;

pub use self::{
    blocks::{Block, Called, blocks},
    gateway::Gateway,
    process::{Node, Process},
    programs::{program, said},
    random::{Random, kills},
    reply::{Ending, Reply, ask, ask_whole, get, post},
    subnet::Subnet,
    wire::Wire,
};
