//! Which model is to be loaded next.

use std::time::Duration;

use proptest::prelude::*;
use synapse_miner::scale::{ModelDemand, ResidencyPolicy, Step};

const LONG: Duration = Duration::from_secs(3_600);

fn model(bytes: u64, rate: f64) -> ModelDemand {
    ModelDemand {
        bytes,
        pinned: false,
        loadable: true,
        loaded_for: None,
        busy: 0,
        waiting: u32::from(rate > 0.0),
        rate,
    }
}

fn loaded(bytes: u64, rate: f64) -> ModelDemand {
    ModelDemand {
        loaded_for: Some(LONG),
        waiting: 0,
        ..model(bytes, rate)
    }
}

fn next(budget: u64, models: &[ModelDemand]) -> Option<Step> {
    ResidencyPolicy::default().next(budget, models)
}

fn load(load: usize, unload: impl Into<Vec<usize>>) -> Option<Step> {
    Some(Step {
        unload: unload.into(),
        load: Some(load),
    })
}

#[test]
fn what_is_asked_for_is_loaded_where_there_is_room() {
    assert_eq!(next(10, &[model(4, 0.0), model(4, 1.0)]), load(1, []));
    assert_eq!(
        next(10, &[loaded(8, 1.0), model(4, 0.0)]),
        None,
        "nobody asks for it"
    );
    assert_eq!(next(3, &[model(4, 1.0)]), None, "it never fits");
    // The one with more requests for its bytes first.
    assert_eq!(next(10, &[model(8, 1.0), model(2, 0.5)]), load(1, []));
}

#[test]
fn what_is_pinned_is_loaded_first_whatever_is_asked_for_and_never_leaves() {
    let pinned = ModelDemand {
        pinned: true,
        ..model(8, 0.0)
    };
    assert_eq!(next(10, &[loaded(4, 9.0), pinned]), load(1, [0]));
    let there = ModelDemand {
        loaded_for: Some(LONG),
        ..pinned
    };
    assert_eq!(next(10, &[model(4, 9.0), there]), None);
    assert_eq!(next(5, &[there]), None, "even where there is too little memory");
}

#[test]
fn one_makes_room_where_another_is_asked_for_much_more_often() {
    assert_eq!(
        next(10, &[loaded(8, 1.0), model(8, 1.0)]),
        None,
        "they do not take turns"
    );
    assert_eq!(next(10, &[loaded(8, 1.0), model(8, 1.5)]), None);
    assert_eq!(next(10, &[loaded(8, 1.0), model(8, 1.6)]), load(1, [0]));
    // Those that are asked for least for their bytes, and no more of them than it takes.
    let three = [loaded(3, 0.1), loaded(3, 0.2), loaded(3, 9.0), model(5, 1.0)];
    assert_eq!(next(10, &three), load(3, [0, 1]));
}

#[test]
fn what_is_asked_now_or_came_just_now_stays() {
    let busy = ModelDemand {
        busy: 1,
        ..loaded(8, 0.1)
    };
    assert_eq!(next(10, &[busy, model(8, 9.0)]), None);
    let fresh = ModelDemand {
        loaded_for: Some(Duration::from_secs(59)),
        ..loaded(8, 0.1)
    };
    assert_eq!(next(10, &[fresh, model(8, 9.0)]), None);
}

#[test]
fn where_memory_is_lost_the_least_wanted_leave() {
    let leave = Step {
        unload: vec![1],
        load: None,
    };
    assert_eq!(
        next(8, &[loaded(4, 1.0), loaded(4, 0.1), loaded(4, 2.0)]),
        Some(leave)
    );
}

fn models() -> impl Strategy<Value = Vec<ModelDemand>> {
    let one = (
        1..20_u64,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.9),
        prop::option::of(0..200_u64),
        0..3_u32,
        0..3_u32,
        0..100_u32,
    );
    let one = one.prop_map(
        |(bytes, pinned, loadable, loaded, busy, waiting, rate)| ModelDemand {
            bytes,
            pinned,
            loadable,
            loaded_for: loaded.map(Duration::from_secs),
            busy: if loaded.is_some() { busy } else { 0 },
            waiting: if loaded.is_none() { waiting } else { 0 },
            rate: f64::from(rate) / 10.0,
        },
    );
    prop::collection::vec(one, 1..8)
}

fn bytes(models: &[ModelDemand]) -> u64 {
    let loaded = models.iter().filter(|model| model.loaded_for.is_some());
    loaded.map(|model| model.bytes).sum()
}

proptest! {
    #[test]
    fn it_keeps_to_its_memory_comes_to_rest_and_moves_nothing_twice(
        mut models in models(), budget in 1..60_u64,
    ) {
        let mut moved = vec![0_usize; models.len()];
        while let Some(step) = next(budget, &models) {
            let before = bytes(&models);
            for at in step.unload {
                let leaves = &mut models[at];
                prop_assert!(leaves.loaded_for.is_some() && !leaves.pinned && leaves.busy == 0);
                leaves.loaded_for = None;
                // As in life: whoever asks for it waits from now on.
                leaves.waiting = u32::from(leaves.rate > 0.0);
                moved[at] += 1;
            }
            if let Some(at) = step.load {
                prop_assert!(models[at].loaded_for.is_none() && models[at].loadable);
                models[at].loaded_for = Some(LONG);
                models[at].waiting = 0;
                moved[at] += 1;
                prop_assert!(bytes(&models) <= budget, "what is loaded fits");
            } else {
                prop_assert!(before > budget && bytes(&models) < before);
            }
            prop_assert!(moved.iter().sum::<usize>() <= 4 * models.len(), "it comes to rest");
        }
    }
}
