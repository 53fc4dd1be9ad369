//! From scores to weights, as bittensor computes them.

use serde::Deserialize;
use synapse_core::{EpochId, NodeId, SubnetId, Weights};
use synapse_validator::{
    score::{Estimate, Reason, Score, Scores},
    weights::{emit, limit, operation},
};

#[derive(Deserialize)]
struct Vectors {
    emit: Vec<Emit>,
    max_weight: Vec<MaxWeight>,
}

#[derive(Deserialize)]
struct Emit {
    uids: Vec<u16>,
    weights: Vec<f64>,
    out_uids: Vec<u16>,
    out_vals: Vec<u16>,
}

#[derive(Deserialize)]
struct MaxWeight {
    weights: Vec<f64>,
    limit: f64,
    out: Vec<f64>,
}

fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/weights_emit.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn named(uid: u16) -> NodeId {
    NodeId::from(format!("uid-{uid:05}"))
}

fn scores(values: impl IntoIterator<Item = (NodeId, f64)>) -> Scores {
    Scores::new(
        values
            .into_iter()
            .map(|(miner, value)| Score::new(miner, Estimate::exact(value), Vec::new())),
    )
}

#[test]
fn weights_are_those_of_every_vector() {
    let rows = vectors().emit;
    assert_eq!(rows.len(), 5);
    for row in rows {
        let uids = row.uids.iter().copied().map(named);
        let emitted = emit(&scores(uids.zip(row.weights.iter().copied())));
        if row.out_uids.is_empty() {
            assert_eq!(emitted.unwrap_err().code(), "no_weight");
            continue;
        }
        let expected = row.out_uids.iter().copied().map(named).zip(row.out_vals);
        assert_eq!(emitted.unwrap(), Weights::new(expected).unwrap());
    }
}

#[test]
fn limited_weights_are_those_of_every_vector() {
    let rows = vectors().max_weight;
    assert_eq!(rows.len(), 4);
    for row in rows {
        let limited = limit(&row.weights, row.limit).unwrap();
        assert_eq!(limited.len(), row.out.len());
        for (is, expected) in limited.iter().zip(&row.out) {
            assert!((is - expected).abs() <= 1e-15, "{limited:?} for {:?}", row.out);
        }
    }
}

#[test]
fn halves_are_rounded_to_the_even_number() {
    let check = |value: f64, expect: &[u16]| {
        let weights = emit(&scores([(named(0), 65_535.0), (named(1), value)])).unwrap();
        let values: Vec<u16> = weights.as_slice().iter().map(|weight| weight.value).collect();
        assert_eq!(values, expect, "{value}");
    };
    // Halves that 65,535 divides and gives back without rounding.
    for (half, even) in [
        (1.5, 2),
        (2.5, 2),
        (3.5, 4),
        (4.5, 4),
        (101.5, 102),
        (32_767.5, 32_768),
    ] {
        let back: f64 = half / 65_535.0 * 65_535.0;
        if back.to_bits() == f64::to_bits(half) {
            check(half, &[65_535, even]);
        }
    }
    check(32_767.5, &[65_535, 32_768]);
    check(0.5, &[65_535]);
    check(0.500_001, &[65_535, 1]);
    check(0.0, &[65_535]);
}

#[test]
fn who_has_no_score_has_no_weight() {
    let silent = Score::no_opinion(named(1), Reason::new("too_little_evidence", "nothing"));
    let one = Score::new(named(0), Estimate::exact(0.2), Vec::new());
    let weights = emit(&Scores::new([silent.clone(), one])).unwrap();
    assert_eq!(weights.as_slice().len(), 1);
    assert_eq!(emit(&Scores::new([silent])).unwrap_err().code(), "no_weight");
    assert_eq!(emit(&Scores::default()).unwrap_err().code(), "no_weight");
}

#[test]
fn what_is_no_score_is_an_error_that_names_the_miner() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9] {
        let error = emit(&scores([(named(0), 1.0), (named(1), value)])).unwrap_err();
        assert_eq!(error.code(), "bad_scores");
        assert!(error.message().contains("uid-00001"), "{error}");
    }
    for (weights, most) in [
        (vec![1.0, f64::NAN], 0.5),
        (vec![1.0, -1.0], 0.5),
        (vec![f64::MAX, f64::MAX], 0.5),
        (vec![1.0], 0.0),
        (vec![1.0], f64::NAN),
        (vec![1.0], 1.5),
    ] {
        assert_eq!(limit(&weights, most).unwrap_err().code(), "bad_weights");
    }
}

#[test]
fn the_smallest_and_the_largest_scores_are_weights() {
    for largest in [f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        let weights = emit(&scores([
            (named(0), largest),
            (named(1), largest),
            (named(2), 0.0),
        ]))
        .unwrap();
        let values: Vec<u16> = weights.as_slice().iter().map(|weight| weight.value).collect();
        assert_eq!(values, [65_535, 65_535]);
    }
    let many = emit(&scores((0..10_000).map(|uid| (named(uid), f64::from(uid))))).unwrap();
    assert_eq!(many.as_slice().len(), 9_999);
}

#[test]
fn an_epoch_has_one_operation() {
    let operation = |epoch| operation(SubnetId(7), &"validator".into(), EpochId(epoch));
    assert_eq!(operation(12).as_str(), "weights/7/validator/12");
    assert_ne!(operation(12), operation(13));
}
