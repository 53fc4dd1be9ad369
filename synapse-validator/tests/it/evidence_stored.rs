//! Evidence as it is stored: the same bytes for the same evidence, and an error for what is none.

use proptest::prelude::*;
use serde_json::{Value, json};
use synapse_core::{BlockNumber, EpochId, NodeId, SubnetId};
use synapse_validator::{
    ScorePolicy, StandardPolicy,
    evidence::{Distribution, EpochEvidence, MinerEvidence},
};

fn stored() -> Value {
    json!({
        "subnet": 7, "validator": "v", "epoch": 3, "from": 100, "to": 199,
        "miners": [{
            "miner": "a", "owner": "o",
            "probes": {"asked": 4, "answered": 3, "failed": {"timeout": 1}, "first_content_us": {"40": 3}},
            "users": {"alice": {"asked": 2, "answered": 2}},
            "claims": {"streaming": {"kept": 2}},
            "measures": {"truth": 0.5}
        }]
    })
}

fn read(stored: &Value) -> Result<EpochEvidence, String> {
    serde_json::from_str(&stored.to_string()).map_err(|error| error.to_string())
}

#[test]
fn what_is_absent_is_nothing_seen() {
    let evidence = read(&stored()).unwrap();
    let a = evidence.miner(&NodeId::from("a")).unwrap();
    assert_eq!(
        (a.probes.asked, a.probes.dropped, a.refused.as_deref()),
        (4, 0, None)
    );
    assert_eq!(a.claims["streaming"].broken, 0);
    let bare = json!({"subnet": 7, "validator": "v", "epoch": 3, "from": 1, "to": 1, "miners": [{"miner": "a", "owner": "a"}]});
    assert_eq!(
        read(&bare).unwrap().miners[0],
        MinerEvidence::new(NodeId::from("a"))
    );
}

#[test]
fn what_is_no_evidence_is_an_error_that_says_where() {
    let check = |at: &str, value: Value, expect: &str| {
        let mut stored = stored();
        match stored.pointer_mut(at) {
            Some(place) => *place = value,
            None => {
                let (parent, key) = at.rsplit_once('/').unwrap();
                stored.pointer_mut(parent).unwrap()[key] = value;
            }
        }
        let error = read(&stored).unwrap_err();
        assert!(error.starts_with(expect), "{at}: {error}");
    };
    let probes = "/miners/0/probes";
    check(
        &format!("{probes}/asked"),
        json!(-1),
        "invalid value: integer `-1`, expected u64",
    );
    check(
        &format!("{probes}/asked"),
        json!(null),
        "invalid type: null, expected u64",
    );
    check(
        &format!("{probes}/asked"),
        json!(1.5),
        "invalid type: floating point `1.5`, expected u64",
    );
    check(
        &format!("{probes}/asked"),
        json!("NaN"),
        "invalid type: string \"NaN\", expected u64",
    );
    check(
        &format!("{probes}/askd"),
        json!(1),
        "unknown field `askd`, expected one of `asked`",
    );
    check(
        &format!("{probes}/first_content_us"),
        json!({"-1": 1}),
        "invalid value: integer `-1`, expected u16",
    );
    check(
        &format!("{probes}/first_content_us"),
        json!({"1920": 1}),
        "a distribution has a bucket 1920, and the last one is 1919",
    );
    check(
        "/miners/0/measures/truth",
        json!(null),
        "invalid type: null, expected f64",
    );
    check("/miners/0/extra", json!(1), "unknown field `extra`");
    check("/miners/0/miner", json!(null), "invalid type: null");
    check("/epoch", json!(null), "invalid type: null, expected u64");
    let twice = stored()["miners"][0].clone();
    check(
        "/miners",
        json!([twice, twice]),
        "the evidence names the miner a twice",
    );
}

#[test]
fn a_number_that_is_none_is_an_error() {
    let text = stored().to_string();
    for wrong in ["NaN", "Infinity", "1e999", "-1e999"] {
        let text = text.replace("0.5", wrong);
        assert!(serde_json::from_str::<EpochEvidence>(&text).is_err(), "{wrong}");
    }
    let mut evidence = read(&stored()).unwrap();
    evidence.miners[0].measures.insert("truth".into(), f64::NAN);
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(serde_json::from_str::<EpochEvidence>(&text).is_err(), "{text}");
}

#[test]
fn the_same_evidence_is_the_same_bytes_in_whatever_order_it_was_written() {
    let evidence = read(&stored()).unwrap();
    let bytes = serde_json::to_string(&evidence).unwrap();
    let mut other = stored();
    let more = json!({"miner": "b", "owner": "b"});
    let a = other["miners"][0].take();
    other["miners"] = json!([more, a]);
    let other = read(&other).unwrap();
    assert_eq!(
        other.miner(&NodeId::from("a")),
        evidence.miner(&NodeId::from("a"))
    );
    assert_eq!(other.miners[0].miner, NodeId::from("a"));
    let zeros = bytes.replace(r#"{"40":3}"#, r#"{"3":0,"40":3}"#);
    let zeros: EpochEvidence = serde_json::from_str(&zeros).unwrap();
    assert_eq!(serde_json::to_string(&zeros).unwrap(), bytes);
}

#[test]
fn a_distribution_knows_its_values_to_a_32nd_whatever_their_order() {
    let values: Vec<u64> = (0..64)
        .flat_map(|shift| {
            [1, 3, 7, 1023]
                .map(|value: u64| value.wrapping_shl(shift))
                .into_iter()
        })
        .chain([0, u64::MAX, u64::MAX - 1])
        .collect();
    let (mut forth, mut back, mut merged) = <(Distribution, Distribution, Distribution)>::default();
    for (one, other) in values.iter().zip(values.iter().rev()) {
        forth.add(*one);
        back.add(*other);
        let mut alone = Distribution::default();
        alone.add(*one);
        let known = alone.quantile(500).unwrap();
        assert!(
            known <= *one && one - known <= one / 32,
            "{one} is known as {known}"
        );
        merged.merge(&alone);
    }
    assert_eq!(forth, back);
    assert_eq!(forth, merged);
    assert_eq!(forth.count(), values.len() as u64);
    assert_eq!(forth.quantile(0), Some(0));
    let last = forth.quantile(1000).unwrap();
    assert_eq!(forth.quantile(u32::MAX), Some(last));
    assert!(u64::MAX - last <= u64::MAX / 32);
    assert_eq!(Distribution::default().quantile(500), None);
}

proptest! {
    #[test]
    fn what_was_stored_gives_the_same_scores_bit_for_bit(
        counts in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 1..8),
        values in prop::collection::vec(any::<u64>(), 0..40),
        measure in -1e300_f64..1e300,
    ) {
        let mut evidence = EpochEvidence::new(SubnetId(7), NodeId::from("v"), EpochId(1), BlockNumber(1));
        let mut distribution = Distribution::default();
        for value in values {
            distribution.add(value);
        }
        for (number, (asked, answered, failed)) in counts.into_iter().enumerate() {
            let mut miner = MinerEvidence::new(NodeId::from(format!("miner-{number}")));
            miner.probes.asked = asked;
            miner.probes.answered = answered;
            miner.probes.failed.insert("timeout".into(), failed);
            miner.probes.first_content_us = distribution.clone();
            miner.users.insert("alice".into(), miner.probes.clone());
            miner.measures.insert("truth".into(), measure);
            evidence.miners.push(miner);
        }
        let bytes = serde_json::to_vec(&evidence).unwrap();
        let again: EpochEvidence = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(&again, &evidence);
        prop_assert_eq!(again.miners[0].measures["truth"].to_bits(), measure.to_bits());
        let policy = StandardPolicy::default();
        let (before, after) = (policy.score(&evidence), policy.score(&again));
        prop_assert_eq!(serde_json::to_vec(&before).unwrap(), serde_json::to_vec(&after).unwrap());
        prop_assert!(before.check(&evidence).is_ok());
    }
}
