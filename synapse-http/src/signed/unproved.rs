//! How much is held of bodies whose signatures are not checked yet, since these need the whole body.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use synapse_core::{Error, NodeId};

use super::refusal;

/// What of each body is not counted: requests of the usual length get through, whoever's name others take in vain.
pub(super) const FREE: usize = 64 * 1024;

/// A bound on the bodies of all callers together, and on those that name one of them.
#[derive(Debug)]
pub(super) struct Unproved {
    all: usize,
    per_caller: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_caller: HashMap<NodeId, usize>,
}

/// What one body takes of it; given back once that is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    of: &'a Unproved,
    caller: &'a NodeId,
    taken: usize,
}

impl Unproved {
    /// A caller may have a quarter of it all, and in any case one body of the `longest` that there may be.
    pub(super) fn bounded(all: usize, longest: usize) -> Self {
        Self {
            all: all.max(longest),
            per_caller: (all / 4).max(longest),
            held: Mutex::default(),
        }
    }

    /// Room for a body that `caller` is said to send: none yet.
    pub(super) fn share<'a>(&'a self, caller: &'a NodeId) -> Share<'a> {
        Share {
            of: self,
            caller,
            taken: 0,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nothing panics while it counts bytes")
    }
}

impl Share<'_> {
    /// Takes what the body needs once it has `bytes` in all.
    ///
    /// # Errors
    /// `unproved_bodies_full`; what it has it keeps.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let Some(more) = bytes.checked_sub(FREE + self.taken).filter(|more| *more > 0) else {
            return Ok(());
        };
        let Unproved { all, per_caller, .. } = *self.of;
        let mut held = self.of.held();
        let callers = held.by_caller.get(self.caller).map_or(0, |taken| *taken);
        let of_caller = callers + more > per_caller;
        if of_caller || held.all + more > all {
            return Err(refusal::too_much_unproved(of_caller, self.caller));
        }
        held.all += more;
        held.by_caller.insert(self.caller.clone(), callers + more);
        self.taken += more;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.taken == 0 {
            return;
        }
        let mut held = self.of.held();
        held.all -= self.taken;
        if let Some(callers) = held.by_caller.get_mut(self.caller) {
            *callers -= self.taken;
            if *callers == 0 {
                held.by_caller.remove(self.caller);
            }
        }
    }
}
