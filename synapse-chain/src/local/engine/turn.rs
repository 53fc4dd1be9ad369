//! Whoever makes a block does so alone.

use std::{
    sync::{MutexGuard, PoisonError},
    thread,
};

use synapse_core::Error;

use super::Engine;

/// The right to make blocks. A panic while somebody has it halts the chain: nobody waits for a block that never comes,
/// and nobody sees one that was half made.
#[derive(Debug)]
pub(in crate::local) struct Turn<'a> {
    pub(super) engine: &'a Engine,
    _alone: MutexGuard<'a, ()>,
}

impl Engine {
    /// Waits until nobody else makes a block.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn {
            engine: self,
            // Whoever panicked in it halted the chain.
            _alone: self.turn.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = Error::internal("block_panicked", "making a block panicked")
                .with_hint("see the program's log, and report it");
            self.engine.lock().halt(&error);
        }
    }
}
