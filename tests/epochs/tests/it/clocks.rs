//! A validator whose clock jumps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use epochs::{Epochs, run};
use synapse_core::WallClock;

/// The machine's clock, so many seconds off.
#[derive(Debug, Default)]
struct Jumping(AtomicI64);

impl WallClock for Jumping {
    fn now(&self) -> SystemTime {
        let off = self.0.load(Ordering::SeqCst);
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 {
            SystemTime::now() - by
        } else {
            SystemTime::now() + by
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_clock_is_an_hour_off_it_says_nothing_of_anybody_and_then_it_goes_on() {
    let clock = Arc::new(Jumping::default());
    let epochs = Epochs {
        count: 9,
        block: Duration::from_millis(100),
        state: None,
        validators: 1,
        clock: Some(clock.clone()),
    };
    // Told of the end of epoch 1, it jumps within epoch 2, so that epoch 3 is the first that is off as a whole.
    let rows = run(epochs, |row| {
        let off = match row.epoch {
            1 | 2 => 3_600,
            5 | 6 => -3_600,
            _ => 0,
        };
        clock.0.store(off, Ordering::SeqCst);
    })
    .await
    .unwrap();
    for row in &rows {
        println!("epoch {}: {} weights", row.epoch, row.weights.len());
    }
    let weights = |epoch: usize| rows[epoch - 1].weights.len();
    assert!(weights(1) >= 4, "before: {}", weights(1));
    assert_eq!(
        weights(3),
        0,
        "an hour ahead every miner refuses what it signs, and that is no opinion of them"
    );
    assert!(weights(5) >= 4, "right again: {}", weights(5));
    assert_eq!(weights(7), 0, "an hour behind");
    assert!(weights(9) >= 4, "right again: {}", weights(9));
}
