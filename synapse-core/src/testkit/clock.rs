//! A clock that stands still.

use std::{
    sync::Mutex,
    time::{Duration, SystemTime},
};

use crate::WallClock;

/// A wall clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// A clock that stands at `time`.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(Mutex::new(time))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().expect("nothing panics while it holds the clock");
        *time += by;
    }
}

impl WallClock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().expect("nothing panics while it holds the clock")
    }
}
