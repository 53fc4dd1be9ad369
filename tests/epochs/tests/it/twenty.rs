//! Twenty epochs, unattended.

use std::time::Duration;

use epochs::{Behaviour, Epochs, Row, Table, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_miner_loses_and_regains_weight_for_the_reason_given() {
    let epochs = Epochs {
        count: 20,
        block: Duration::from_millis(200),
        state: None,
        validators: 1,
        clock: None,
    };
    let rows = run(epochs, |_| {}).await.unwrap();
    println!("{}", Table(&rows));
    assert_eq!(rows.len(), 20);
    assert!(
        rows.iter().all(|row| !row.weights.is_empty()),
        "weights in each epoch"
    );

    // In most of the epochs in which it misbehaves: the first is seen in part only, and machines are noisy.
    for (behaviour, reasons) in [
        (Behaviour::Slow, &["speed", "first_content", "presence"][..]),
        (Behaviour::Flapping, &["availability"]),
        (Behaviour::Lying, &["claims"]),
        (Behaviour::TwoFaced, &["availability", "volume"]),
    ] {
        let bad: Vec<&Row> = rows
            .iter()
            .filter(|row| behaviour.misbehaves_in(row.epoch))
            .collect();
        let punished = |row: &&&Row| {
            row.relative(behaviour) < 0.8 && row.reason(behaviour).is_some_and(|code| reasons.contains(&code))
        };
        let count = bad.iter().filter(punished).count();
        assert!(
            count * 3 >= bad.len() * 2,
            "{} loses in {count} of {} epochs",
            behaviour.name(),
            bad.len()
        );
    }
    let away: Vec<&Row> = rows.iter().filter(|row| (7..=10).contains(&row.epoch)).collect();
    assert!(
        away.iter().all(|row| row.share(Behaviour::Leaving) == 0.0),
        "who left has no weight"
    );
    let best = |behaviour| {
        let last = rows.iter().rev().take(4).map(|row| row.relative(behaviour));
        last.fold(0.0, f64::max)
    };
    for behaviour in [
        Behaviour::Honest,
        Behaviour::Slow,
        Behaviour::Lying,
        Behaviour::Leaving,
    ] {
        assert!(
            best(behaviour) > 0.7,
            "{} regains its weight: {}",
            behaviour.name(),
            best(behaviour)
        );
    }
    // Whom the pool ejected gets users again after up to five minutes: their volume comes back later than the rest.
    for behaviour in [Behaviour::Flapping, Behaviour::TwoFaced] {
        let worst = rows.iter().map(|row| row.relative(behaviour)).fold(1.0, f64::min);
        let (best, last) = (best(behaviour), rows.last().and_then(|row| row.reason(behaviour)));
        assert!(
            best > 0.45 && best > worst,
            "{} regains weight: {worst}, then {best}",
            behaviour.name()
        );
        assert_ne!(last, Some("availability"), "{}", behaviour.name());
    }
    let honest = rows
        .iter()
        .filter(|row| row.relative(Behaviour::Honest) > 0.8)
        .count();
    assert!(honest >= 18, "the honest one keeps its weight: {honest} of 20");
}
