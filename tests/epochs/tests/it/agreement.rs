//! Two validators over the same miners.

use std::time::Duration;

use epochs::{Behaviour, Epochs, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_validators_agree_within_the_intervals_that_they_state() {
    let epochs = Epochs {
        count: 5,
        block: Duration::from_millis(150),
        state: None,
        validators: 2,
        clock: None,
    };
    let rows = run(epochs, |_| {}).await.unwrap();
    let (mut pairs, mut agree) = (0_u32, 0_u32);
    for row in &rows {
        for behaviour in Behaviour::ALL {
            let bounds: Vec<(f64, f64)> = row
                .reports
                .iter()
                .filter_map(|reports| {
                    let report = reports.get(&behaviour)?;
                    Some((report.low?, report.high?))
                })
                .collect();
            if let [(low, high), (other_low, other_high)] = bounds[..] {
                pairs += 1;
                agree += u32::from(low <= other_high && other_low <= high);
            }
        }
    }
    println!("{agree} of {pairs} pairs of scores agree");
    assert!(pairs >= 15, "both have opinions: {pairs}");
    assert!(agree * 100 >= pairs * 90, "{agree} of {pairs}");
}
