//! Whether a miner is believed that says the caller is at fault.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, InferenceModule};

use crate::fleet::{Fleet, Miner, ask, read, reply, reply_then};

const CALLERS_FAULT: [ErrorKind; 3] = [ErrorKind::Invalid, ErrorKind::TooLarge, ErrorKind::Unsupported];

fn refusing(kind: ErrorKind, code: &'static str) -> Miner {
    Miner::failing(Error::new(kind, code, "a scripted refusal"))
}

fn failures(pool: &impl InferenceModule, miner: &str) -> Option<f64> {
    pool.get_metrics().get("pool.failures", &[("miner", miner)])
}

#[tokio::test(start_paused = true)]
async fn the_callers_fault_is_believed_once_one_other_member_agrees() {
    for kind in CALLERS_FAULT {
        let (first, second) = (refusing(kind, "first"), refusing(ErrorKind::Invalid, "second"));
        let third = Miner::good();
        let fleet = Fleet::of([("a", &first), ("b", &second), ("c", &third)]);
        let pool = fleet.ordered().await;
        for _ in 0..6 {
            let error = pool.run_inference(ask("m")).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (kind, "first"));
        }
        assert_eq!((first.asked(), second.asked(), third.asked()), (6, 6, 0));
        assert_eq!(
            (failures(&pool, "a"), failures(&pool, "b")),
            (Some(0.0), Some(0.0))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_another_member_contradicts_is_a_failure() {
    for kind in CALLERS_FAULT {
        let (liar, honest) = (refusing(kind, "lie"), Miner::good());
        let fleet = Fleet::of([("a", &liar), ("b", &honest)]);
        let pool = fleet.ordered().await;
        for _ in 0..6 {
            let output = pool.run_inference(ask("m")).await.unwrap();
            assert_eq!(output.head.served_by(), Some(&"b".into()));
            read(output).await.unwrap();
        }
        assert_eq!((liar.asked(), failures(&pool, "a")), (3, Some(3.0)));
        assert_eq!(pool.get_metrics().get("pool.ejected", &[]), Some(1.0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_returned_where_nobody_has_another_opinion() {
    async fn check(what: &str, others: &[Miner], attempts: u32) {
        let first = refusing(ErrorKind::Invalid, "first");
        let fleet = Fleet::of([("a", &first)]);
        for (name, other) in ["b", "c"].into_iter().zip(others) {
            fleet.join(name, other);
        }
        let pool = fleet.ordered().await.attempts(attempts);
        let error = pool.run_inference(ask("m")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, "first"),
            "{what}"
        );
        assert_eq!(failures(&pool, "a"), Some(0.0), "{what}");
    }
    check("alone", &[], 3).await;
    check("the only attempt", &[Miner::good()], 1).await;
    check("the other is broken", &[refusing(ErrorKind::Broken, "cut")], 3).await;
    check(
        "the other has no room",
        &[refusing(ErrorKind::Overloaded, "full")],
        3,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_fails_or_has_no_room_has_no_opinion() {
    for kind in [ErrorKind::Overloaded, ErrorKind::Broken, ErrorKind::NotFound] {
        let (liar, busy, honest) = (
            refusing(ErrorKind::Invalid, "lie"),
            refusing(kind, "none"),
            Miner::good(),
        );
        let fleet = Fleet::of([("a", &liar), ("b", &busy), ("c", &honest)]);
        let pool = fleet.ordered().await;
        let output = pool.run_inference(ask("m")).await.unwrap();
        assert_eq!(output.head.served_by(), Some(&"c".into()), "{kind:?}");
        assert_eq!(failures(&pool, "a"), Some(1.0), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_contradicted_refusal_counts_as_a_slow_answer_and_a_believed_one_not_at_all() {
    async fn check(second: Miner, expect: f64) {
        let first = refusing(ErrorKind::Invalid, "refused");
        let fleet = Fleet::of([("a", &first), ("b", &second)]);
        let pool = fleet.pool();
        pool.initialize().await.unwrap();
        while first.asked() == 0 {
            let _ = pool.run_inference(ask("m")).await;
        }
        let load = pool.get_metrics().get("pool.load", &[("miner", "a")]).unwrap();
        assert!((load - expect).abs() < 1e-6, "{load}");
    }
    check(Miner::good(), 5.0).await;
    check(refusing(ErrorKind::Invalid, "too"), 0.5).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_everything_does_not_draw_the_traffic() {
    let (liar, honest) = (
        refusing(ErrorKind::Invalid, "lie"),
        Miner::new(|_| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(reply())
        }),
    );
    let fleet = Fleet::of([("a", &liar), ("b", &honest)]);
    let pool = fleet.pool();
    pool.initialize().await.unwrap();
    for _ in 0..300 {
        read(pool.run_inference(ask("m")).await.unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    assert!(liar.asked() < 20, "asked {} times in five minutes", liar.asked());
}

#[tokio::test(start_paused = true)]
async fn a_complaint_about_the_caller_within_a_reply_is_a_failure() {
    let miner = Miner::new(|_| async {
        let late = Error::invalid("late", "a scripted complaint");
        Ok(reply_then(vec![Err(late)]))
    });
    let fleet = Fleet::of([("a", &miner)]);
    let pool = fleet.ordered().await;
    assert!(read(pool.run_inference(ask("m")).await.unwrap()).await.is_err());
    assert_eq!(failures(&pool, "a"), Some(1.0));
}
