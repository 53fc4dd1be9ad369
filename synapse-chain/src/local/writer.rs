//! The thread that makes blocks which have to be written.

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use synapse_core::Error;

use super::engine::Engine;

/// Makes an engine's blocks on a thread of its own. Dropped, it waits for the block that is being made.
///
/// Where the thread panics the [engine halts](super::engine::Turn), and whoever waits is told.
#[derive(Debug)]
pub(super) struct Writer {
    wishes: SyncSender<Wish>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Work,
    Tick,
    End,
}

impl Writer {
    pub(super) fn start(engine: &Arc<Engine>) -> Result<Self, Error> {
        let engine = engine.clone();
        let (wishes, wished) = sync_channel(1);
        let run = move || {
            while let Ok(wish) = wished.recv() {
                let done = match wish {
                    Wish::Work => engine.work_off(),
                    Wish::Tick => engine.tick(),
                    Wish::End => return,
                };
                if let Err(error) = done {
                    tracing::debug!(%error, "no block was made");
                }
            }
        };
        let thread = thread::Builder::new()
            .name("chain-writer".to_owned())
            .spawn(run)
            .map_err(|error| {
                Error::internal(
                    "no_thread",
                    "the thread that writes the chain's blocks did not start",
                )
                .with_source(error)
            })?;
        Ok(Self {
            wishes,
            thread: Some(thread),
        })
    }

    /// Asks for blocks until nothing waits.
    pub(super) fn work(&self) {
        // A wish that waits already is taken after this call came, and finds it too.
        let _ = self.wishes.try_send(Wish::Work);
    }

    /// Asks for the clock's block; the answer says whether the thread still runs. A block that takes longer than the
    /// interval makes the next one late.
    pub(super) fn ticks(&self) -> impl FnMut() -> bool + Send + use<> {
        let wishes = self.wishes.clone();
        move || !matches!(wishes.try_send(Wish::Tick), Err(TrySendError::Disconnected(_)))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread takes its wishes one by one, and ended by itself only if it panicked.
        let _ = self.wishes.send(Wish::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the chain's blocks panicked");
        }
    }
}
