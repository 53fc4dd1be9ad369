//! How many replicas a policy wants.

use std::time::Duration;

use proptest::prelude::*;
use synapse_miner::scale::{Lately, Load, ScalePolicy};

const LONG: Duration = Duration::from_secs(3_600);

fn policy() -> ScalePolicy {
    ScalePolicy::between(1, 4).target_wait(Duration::from_secs(2))
}

fn load(ready: u32, busy: u32, waiting: u32) -> Load {
    Load {
        ready,
        slots: ready * 2,
        busy,
        waiting,
        service: Some(Duration::from_secs(1)),
    }
}

fn settled() -> Lately {
    Lately {
        changed: LONG,
        calm: LONG,
    }
}

#[test]
fn one_more_where_somebody_new_would_wait_too_long() {
    // Four before two places that are taken for a second each: two seconds, just as long as one may.
    assert_eq!(policy().wanted(1, load(1, 2, 4), settled()), 1);
    assert_eq!(policy().wanted(1, load(1, 2, 5), settled()), 2);
    assert_eq!(policy().wanted(4, load(4, 8, 500), settled()), 4, "at most four");
}

#[test]
fn before_it_is_known_how_long_requests_take_more_must_wait_than_there_are_places() {
    let unknown = |waiting| Load {
        service: None,
        ..load(1, 2, waiting)
    };
    assert_eq!(policy().wanted(1, unknown(2), settled()), 1);
    assert_eq!(policy().wanted(1, unknown(3), settled()), 2);
}

#[test]
fn no_further_one_before_the_last_is_ready_or_too_soon_after_it() {
    assert_eq!(policy().wanted(2, load(1, 2, 50), settled()), 2);
    let just_changed = Lately {
        changed: Duration::from_millis(999),
        ..settled()
    };
    assert_eq!(policy().wanted(2, load(2, 4, 50), just_changed), 2);
    assert_eq!(policy().wanted(2, load(2, 4, 50), settled()), 3);
}

#[test]
fn one_fewer_once_it_has_been_calm_for_long() {
    let calm = |seconds| Lately {
        changed: LONG,
        calm: Duration::from_secs(seconds),
    };
    assert_eq!(policy().wanted(3, load(3, 3, 0), calm(59)), 3);
    assert_eq!(policy().wanted(3, load(3, 3, 0), calm(60)), 2);
    assert_eq!(
        policy().wanted(3, load(3, 4, 0), calm(60)),
        3,
        "of four places that are left"
    );
    assert_eq!(policy().wanted(1, load(1, 0, 0), calm(60)), 1, "at least one");
}

#[test]
fn a_number_outside_of_the_bounds_is_brought_within_them() {
    let policy = ScalePolicy::between(2, 3);
    assert_eq!(policy.wanted(9, load(9, 0, 0), Lately::default()), 3);
    assert_eq!(policy.wanted(0, load(0, 0, 0), Lately::default()), 2);
    let upside_down = ScalePolicy::between(5, 2);
    assert_eq!((upside_down.min(), upside_down.max()), (5, 5));
}

fn loads() -> impl Strategy<Value = Load> {
    (
        0..9_u32,
        1..9_u32,
        0..80_u32,
        0..500_u32,
        prop::option::of(1..30_000_u64),
    )
        .prop_map(|(ready, each, busy, waiting, service)| Load {
            ready,
            slots: ready * each,
            busy: busy.min(ready * each),
            waiting,
            service: service.map(Duration::from_millis),
        })
}

fn times() -> impl Strategy<Value = Lately> {
    (0..200_u64, 0..200_u64).prop_map(|(changed, calm)| Lately {
        changed: Duration::from_secs(changed),
        calm: Duration::from_secs(calm),
    })
}

proptest! {
    #[test]
    fn it_stays_within_its_bounds_and_goes_one_step_at_a_time(
        min in 1..6_u32, more in 0..6_u32, wanted in 0..12_u32, load in loads(), lately in times(),
    ) {
        let policy = ScalePolicy::between(min, min + more);
        let next = policy.wanted(wanted, load, lately);
        prop_assert!((min..=min + more).contains(&next));
        if (min..=min + more).contains(&wanted) {
            prop_assert!(next.abs_diff(wanted) <= 1);
        }
    }

    #[test]
    fn more_that_wait_never_want_fewer_replicas(
        wanted in 1..6_u32, load in loads(), lately in times(), more in 0..100_u32,
    ) {
        let policy = ScalePolicy::between(1, 6);
        let fuller = Load { waiting: load.waiting + more, ..load };
        prop_assert!(policy.wanted(wanted, fuller, lately) >= policy.wanted(wanted, load, lately));
    }

    #[test]
    fn a_step_down_never_calls_for_the_next_one_up(
        ready in 2..9_u32, each in 1..9_u32, busy in 0..80_u32, service in 1..30_000_u64,
    ) {
        let policy = ScalePolicy::between(1, 9);
        let load = Load { ready, slots: ready * each, busy, waiting: 0, service: Some(Duration::from_millis(service)) };
        if policy.wanted(ready, load, settled()) < ready {
            let after = Load { ready: ready - 1, slots: load.slots - each, ..load };
            prop_assert!(busy <= after.slots, "what is under way has a place");
            prop_assert_eq!(policy.wanted(ready - 1, after, Lately { calm: Duration::ZERO, changed: LONG }), ready - 1);
        } else {
            prop_assert!(f64::from(busy) > f64::from(load.slots - each) * 0.75);
        }
    }
}
