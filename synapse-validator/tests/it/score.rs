//! What the standard policy makes of evidence, and what it says about it.

use std::time::Duration;

use synapse_core::NodeId;
use synapse_validator::{
    ScorePolicy, StandardPolicy,
    evidence::{ClaimTally, EpochEvidence, Tally},
    score::{Estimate, Reason, Score, Scores, StandardSettings},
};

use crate::score_fleet::{Dice, True, factor, name, nothing, observe, score, share};

/// Six miners and a dozen callers.
fn fleet(change: impl FnOnce(&mut [True])) -> EpochEvidence {
    let mut miners = vec![True::good(); 6];
    change(&mut miners);
    observe(&miners, 40, &[50; 12], &mut Dice(1))
}

fn standard() -> StandardPolicy {
    StandardPolicy::default()
}

fn first(score: &Score) -> (&str, &str) {
    (score.reasons[0].code.as_str(), score.reasons[0].text.as_str())
}

#[test]
fn a_good_miner_has_nearly_all_there_is() {
    let score = score(&standard(), &fleet(|_| ()), 0);
    let estimate = score.estimate.unwrap();
    assert!(estimate.value > 0.9, "{score:?}");
    assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
    let mut codes: Vec<&str> = score.reasons.iter().map(|reason| reason.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(
        codes,
        ["availability", "first_content", "presence", "speed", "volume"]
    );
    let product: f64 = score
        .reasons
        .iter()
        .map(|reason| reason.factor.unwrap())
        .product();
    assert!((product - estimate.value).abs() < 1e-12);
}

#[test]
fn the_lowest_factor_comes_first_with_its_numbers() {
    let check = |change: fn(&mut True), code: &str, words: &str| {
        let evidence = fleet(|miners| change(&mut miners[2]));
        let score = score(&standard(), &evidence, 2);
        let (is, text) = first(&score);
        assert_eq!(is, code, "{score:?}");
        assert!(text.contains(words), "{text}");
        assert!(score.value() < 0.7, "{score:?}");
    };
    check(
        |miner| miner.answers_probes = 0.5,
        "availability",
        "of 40 probes; answered",
    );
    check(
        |miner| miner.answers_users = 0.4,
        "availability",
        "users' requests",
    );
    check(
        |miner| miner.first_content_ms = 2000.0,
        "first_content",
        " ms in the median of ",
    );
    check(
        |miner| miner.tokens_per_second = 10.0,
        "speed",
        " tokens/s in the median of ",
    );
}

#[test]
fn who_answers_probes_well_and_users_badly_is_as_users_see_him() {
    let evidence = fleet(|miners| miners[2].answers_users = 0.3);
    let two_faced = score(&standard(), &evidence, 2);
    assert!(factor(&two_faced, "availability") < 0.45, "{two_faced:?}");
    let (_, text) = first(&two_faced);
    assert!(
        text.starts_with("answered ") && text.contains("users' requests") && text.contains("; answered ")
    );
    // By requests of one caller, too.
    let mut miners = vec![True::good(); 6];
    miners[2].answers_users = 0.3;
    let evidence = observe(&miners, 40, &[300], &mut Dice(2));
    assert!(factor(&score(&standard(), &evidence, 2), "availability") < 0.45);
}

#[test]
fn a_few_requests_of_users_are_no_evidence_against_probes() {
    let mut evidence = observe(&vec![True::good(); 3], 40, &[], &mut Dice(1));
    let tally = evidence.miners[0].users.entry("alice".into()).or_default();
    (tally.asked, *tally.failed.entry("timeout".into()).or_default()) = (7, 7);
    assert!(score(&standard(), &evidence, 0).value() > 0.9);
    let tally = evidence.miners[0].users.entry("alice".into()).or_default();
    (tally.asked, *tally.failed.entry("timeout".into()).or_default()) = (8, 8);
    assert!(score(&standard(), &evidence, 0).value() < 0.01);
}

#[test]
fn what_is_nobodys_failure_is_not_counted() {
    let mut evidence = fleet(|_| ());
    let before = score(&standard(), &evidence, 0);
    for tally in evidence.miners[0].users.values_mut() {
        tally.asked += 1000;
        tally.dropped += 500;
    }
    assert_eq!(score(&standard(), &evidence, 0), before);
}

#[test]
fn a_claim_that_was_broken_leaves_nothing() {
    let check = |kept: u64, broken: u64, nothing_left: bool| {
        let mut evidence = fleet(|_| ());
        let mut claim = ClaimTally::default();
        (claim.kept, claim.broken) = (kept, broken);
        claim.why = Some("it refused 3,000 tokens".into());
        evidence.miners[1].claims.insert("context m".into(), claim);
        let score = score(&standard(), &evidence, 1);
        assert_eq!(score.value() == 0.0, nothing_left, "{kept} {broken}: {score:?}");
        if nothing_left {
            let text = format!(
                "broke its claim `context m` in {broken} of {} tries: it refused 3,000 tokens",
                kept + broken
            );
            assert_eq!(first(&score), ("claims", text.as_str()));
        }
    };
    check(10, 0, false);
    check(0, 1, false);
    check(0, 2, true);
    check(7, 2, true);
    check(8, 2, false);
    check(80, 20, false);
    check(79, 21, true);
}

#[test]
fn claims_of_one_kind_are_taken_together_too() {
    let check = |claims: &[(&str, u64, u64)], expect: &str| {
        let mut evidence = fleet(|_| ());
        for (claim, kept, broken) in claims {
            let mut tally = ClaimTally::default();
            (tally.kept, tally.broken, tally.why) = (*kept, *broken, Some("it is not so".into()));
            evidence.miners[1].claims.insert((*claim).to_owned(), tally);
        }
        let score = score(&standard(), &evidence, 1);
        let reason = score
            .reasons
            .iter()
            .find(|reason| reason.code == "claims")
            .unwrap();
        assert_eq!(reason.text, expect);
        assert_eq!(score.value() == 0.0, reason.text.starts_with("broke"));
    };
    // A model by another name each time.
    check(
        &[
            ("context m1", 0, 1),
            ("context m2", 0, 1),
            ("model m1", 40, 0),
            ("streaming", 9, 0),
        ],
        "broke its claims of the kind `context`, taken together in 2 of 2 tries: it is not so",
    );
    check(
        &[("context m1", 4, 1), ("context m2", 4, 1), ("model m1", 0, 1)],
        "kept what it claims in 8 of 11 tries",
    );
    check(
        &[("context m1", 90, 0), ("context m2", 3, 3), ("model m2", 5, 1)],
        "broke its claim `context m2` in 3 of 6 tries: it is not so",
    );
}

#[test]
fn who_is_there_for_a_part_of_the_epoch_earns_that_part() {
    let check = |asked: u64, expect: f64| {
        let mut evidence = observe(&vec![True::good(); 6], 40, &[], &mut Dice(1));
        evidence.miners[0] = observe(&[True::good()], asked, &[], &mut Dice(2)).miners[0].clone();
        let score = score(&standard(), &evidence, 0);
        let presence = factor(&score, "presence");
        assert!((presence - expect).abs() < 1e-9, "{asked}: {presence}");
        let reason = score.reasons.iter().find(|reason| reason.code == "presence");
        let text = format!("was asked {asked} probes, the median miner 40");
        assert_eq!(reason.unwrap().text, text);
        assert!(score.value() <= expect);
        let estimate = score.estimate.unwrap();
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
    };
    check(3, 0.075);
    check(20, 0.5);
    check(24, 0.6);
    check(28, 0.8);
    check(32, 1.0);
    check(400, 1.0);
}

#[test]
fn another_key_in_the_middle_of_the_epoch_does_not_wipe_the_first_half() {
    let mut evidence = observe(&vec![True::good(); 6], 40, &[], &mut Dice(1));
    let halves = observe(&vec![True::good(); 2], 20, &[], &mut Dice(2));
    (evidence.miners[0].probes, evidence.miners[1].probes) =
        (halves.miners[0].probes.clone(), halves.miners[1].probes.clone());
    let presence = |miner| factor(&score(&standard(), &evidence, miner), "presence");
    assert!((presence(0) + presence(1) - 1.0).abs() < 1e-9);
}

#[test]
fn who_is_never_probed_while_others_are_is_not_scored_by_users() {
    let mut evidence = fleet(|_| ());
    evidence.miners[0].probes = Tally::default();
    let unprobed = score(&standard(), &evidence, 0);
    assert_eq!(unprobed.estimate, None);
    let why = "it was asked no probe in this epoch, and others were";
    assert_eq!(first(&unprobed), ("not_probed", why));
    assert!(share(&standard(), &evidence, 0) == 0.0);
    // Where nobody is, users are all that there is.
    for miner in &mut evidence.miners {
        miner.probes = Tally::default();
    }
    assert!(score(&standard(), &evidence, 0).value() > 0.8);
}

#[test]
fn a_contradicted_refusal_counts_where_probes_were_refused_too() {
    let availability = |probes: u64| {
        let mut evidence = fleet(|_| ());
        let miner = &mut evidence.miners[0];
        for tally in miner.users.values_mut() {
            (tally.asked, tally.contradicted) = (tally.asked + 100, 100);
        }
        miner.probes.contradicted = probes;
        factor(&score(&standard(), &evidence, 0), "availability")
    };
    assert!(availability(0) > 0.9 && (availability(0) - availability(1)).abs() < 1e-12);
    assert!(availability(2) < 0.2);
}

#[test]
fn targets_are_the_subnets_median_or_what_its_owner_says() {
    let evidence = fleet(|miners| miners[2].first_content_ms = 600.0);
    let by_median = factor(&score(&standard(), &evidence, 2), "first_content");
    assert!((0.6..0.9).contains(&by_median), "{by_median}");
    let set = |ms| StandardPolicy::new(StandardSettings::default().first_content(Duration::from_millis(ms)));
    assert!((factor(&score(&set(2000), &evidence, 2), "first_content") - 1.0).abs() < 1e-12);
    assert!(factor(&score(&set(60), &evidence, 2), "first_content") < 0.15);
    let evidence = fleet(|miners| miners[2].tokens_per_second = 30.0);
    let set = |mtps| StandardPolicy::new(StandardSettings::default().speed_mtps(mtps));
    assert!((0.6..0.9).contains(&factor(&score(&standard(), &evidence, 2), "speed")));
    assert!((factor(&score(&set(20_000), &evidence, 2), "speed") - 1.0).abs() < 1e-12);
    assert!(factor(&score(&set(120_000), &evidence, 2), "speed") < 0.3);
}

#[test]
fn volume_is_relative_to_the_others_from_the_floor_to_one() {
    let mut evidence = fleet(|_| ());
    evidence.miners[0].users.clear();
    for tally in evidence.miners[1].users.values_mut() {
        tally.output_tokens *= 1000;
    }
    let volume = |miner| factor(&score(&standard(), &evidence, miner), "volume");
    assert!((volume(0) - 0.5).abs() < 1e-12);
    assert!((volume(1) - 1.0).abs() < 1e-12);
    assert!(volume(2) > 0.9);
    let flat = StandardPolicy::new(StandardSettings::default().volume_floor(1.0));
    assert!((factor(&score(&flat, &evidence, 0), "volume") - 1.0).abs() < 1e-12);
}

#[test]
fn volume_does_not_count_where_there_is_hardly_any() {
    let check = |callers: &[u64], least: f64| {
        let mut evidence = observe(&vec![True::good(); 6], 40, callers, &mut Dice(3));
        evidence.miners[0].users.clear();
        let volume = factor(&score(&standard(), &evidence, 0), "volume");
        assert!(volume >= least, "{callers:?}: {volume}");
    };
    check(&[], 1.0);
    check(&[10_000], 1.0);
    check(&[2; 12], 0.85);
}

#[test]
fn of_whom_little_was_seen_there_is_no_opinion() {
    let mut evidence = fleet(|_| ());
    evidence.miners[0] = nothing(1).miners[0].clone();
    evidence.miners[1].refused = Some("its owner is banned".into());
    let unseen = score(&standard(), &evidence, 0);
    assert_eq!(unseen.estimate, None);
    assert_eq!(
        first(&unseen),
        (
            "too_little_evidence",
            "0.0 observations, it takes 3 for an opinion"
        )
    );
    let refused = score(&standard(), &evidence, 1);
    assert_eq!(refused.estimate, None);
    assert_eq!(first(&refused), ("not_admitted", "its owner is banned"));
    assert!(share(&standard(), &evidence, 0) == 0.0 && share(&standard(), &evidence, 1) == 0.0);
    let evidence = nothing(5);
    let scores = standard().score(&evidence);
    assert!(scores.as_slice().iter().all(|score| score.estimate.is_none()));
    assert_eq!(scores.as_slice().len(), 5);
    assert_eq!(standard().score(&nothing(0)), Scores::default());
}

#[test]
fn who_answers_nothing_is_worth_nothing() {
    let evidence = fleet(|miners| (miners[3].answers_probes, miners[3].answers_users) = (0.0, 0.0));
    let score = score(&standard(), &evidence, 3);
    assert_eq!(score.value(), 0.0);
    assert!(score.estimate.unwrap().high > 0.0);
}

#[test]
fn scores_that_are_none_are_errors_that_say_why() {
    let evidence = nothing(2);
    let check = |scores: Vec<Score>, expect: &str| {
        let error = Scores::new(scores).check(&evidence).unwrap_err();
        assert_eq!((error.code(), error.message()), ("bad_scores", expect));
    };
    let exact = |miner: usize, value: f64| Score::new(name(miner), Estimate::exact(value), Vec::new());
    let of = "the score of miner-00001 is no score";
    check(
        vec![exact(1, 0.5), exact(1, 0.5)],
        &format!("{of}: it is scored twice"),
    );
    check(
        vec![exact(2, 0.5)],
        "the score of miner-00002 is no score: the evidence does not name it",
    );
    check(
        vec![exact(1, f64::NAN)],
        &format!("{of}: NaN from NaN to NaN is not finite"),
    );
    check(
        vec![exact(1, f64::INFINITY)],
        &format!("{of}: inf from inf to inf is not finite"),
    );
    check(
        vec![exact(1, -0.5)],
        &format!("{of}: -0.5 from -0.5 to -0.5 is below zero"),
    );
    let (value, low, high) = (0.5, 0.6, 0.7);
    let outside = Score::new(name(1), Estimate { value, low, high }, Vec::new());
    check(
        vec![outside],
        &format!("{of}: 0.5 is not within its interval, 0.6 to 0.7"),
    );
    let silent = Score::no_opinion(NodeId::from("miner-00000"), Reason::new("x", "y"));
    assert!(Scores::new([silent]).check(&evidence).is_ok());
}
