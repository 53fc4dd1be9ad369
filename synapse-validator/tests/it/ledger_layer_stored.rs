//! What is written before a reply goes on, and what becomes of it where the disk fails.

use futures_util::{StreamExt, stream};
use synapse_core::{
    Attached, Body, Caller, Chunk, Delta, Error, FinishReason, HealthStatus, InferenceModule,
    InferenceService, Input, Message, MetricsData, Micros, ModuleExt, NodeId, Output, RequestId, Stack,
    Usage, testkit::Scripted,
};
use synapse_validator::{
    billing::{Price, PriceBook},
    ledger::{Ledger, LedgerLayer, Outcome, PriceVersion, Query, Row, Settings, Sync, TopUp, query},
};
use tempfile::TempDir;

fn prices() -> PriceBook {
    PriceBook::flat(Price::per_million(Micros(1_000_000), Micros(10_000_000)))
}

fn open(dir: &TempDir, sync: Sync) -> (Ledger, LedgerLayer) {
    let ledger = Ledger::open(dir.path(), Settings::default().sync(sync)).unwrap();
    let top_up = TopUp::new("first".into(), 0, "alice", Micros(1_000_000));
    ledger.top_up(&top_up).unwrap();
    (ledger.clone(), LedgerLayer::new(ledger, prices()))
}

fn ask() -> Input {
    let mut input = Input::chat("scripted", [Message::user("hello")]);
    input.set_max_tokens(100).unwrap();
    input.extensions_mut().insert(Caller::new("alice"));
    input.extensions_mut().insert(RequestId::from("request-1"));
    input
}

/// Two words of two tokens each, and a claim of more.
fn answering(layer: LedgerLayer) -> Stack<impl InferenceService, Scripted> {
    Scripted::new(|_| async {
        let claim = Usage {
            input_tokens: 30,
            output_tokens: 40,
        };
        let end = Delta::finish(FinishReason::Stop).with_usage(claim);
        let mut output = Output::new(Body::new(stream::iter([
            Ok(Chunk::delta(Delta::text("12345678"))),
            Ok(Chunk::delta(Delta::text("12345678"))),
            Ok(Chunk::delta(end).into_last()),
        ])));
        output.head = output.head.with_served_by(NodeId::from("miner-1"));
        Ok(output)
    })
    .with(layer)
}

fn only_row(dir: &TempDir) -> Row {
    let mut asked = Query::default();
    asked.most_rows = 10;
    let mut report = query(dir.path(), &asked).unwrap();
    assert_eq!(report.rows.len(), 1);
    report.rows.remove(0)
}

#[tokio::test]
async fn the_opening_row_comes_before_the_head_and_the_closing_row_before_the_last_event() {
    for sync in [Settings::default().sync, Sync::Always] {
        let dir = tempfile::tempdir().unwrap();
        let (_ledger, layer) = open(&dir, sync);
        let stack = answering(layer);
        let mut output = stack.run_inference(ask()).await.unwrap();
        let row = only_row(&dir);
        assert_eq!(
            (row.outcome, row.hold, row.charge),
            (None, Micros(1_003), Micros::ZERO)
        );
        for _ in 0..2 {
            output.body.next().await.unwrap().unwrap();
            assert_eq!(only_row(&dir).outcome, None, "it goes on");
        }
        assert!(output.body.next().await.unwrap().unwrap().is_last());
        let row = only_row(&dir);
        assert!(output.body.next().await.is_none());
        assert_eq!(only_row(&dir), row, "one closing row");
        assert_eq!(row.outcome, Some(Outcome::Complete));
        assert_eq!((row.hold, row.charge), (Micros(1_003), Micros(43)));
        assert_eq!(
            (row.prompt_tokens, row.completion_tokens, row.is_exact),
            (3, 4, false)
        );
        assert_eq!(
            (row.claimed_prompt_tokens, row.claimed_completion_tokens),
            (Some(30), Some(40))
        );
        assert_eq!((row.events, row.price), (3, Some(PriceVersion(1))));
        assert_eq!(
            (row.miner, row.caller),
            (Some("miner-1".into()), Some("alice".into()))
        );
        assert_eq!(
            (row.request.as_str(), row.model.as_str(), row.key),
            ("request-1", "scripted", None)
        );
        assert!(row.first_ms <= row.total_ms && row.ended >= Some(row.began));
    }
}

#[tokio::test]
async fn a_code_that_a_miner_made_up_is_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledger, layer) = open(&dir, Sync::Always);
    let stack =
        Scripted::new(|_| async { Err(Error::broken("what the user said: hello", "no")) }).with(layer);
    stack.run_inference(ask()).await.unwrap_err();
    assert_eq!(only_row(&dir).outcome, Some(Outcome::Failed("other".into())));
}

#[tokio::test]
async fn prices_are_noted_beside_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    drop(LedgerLayer::open(dir.path(), prices()).unwrap());
    let dearer = PriceBook::flat(Price::per_million(Micros(2), Micros(2)));
    let error = LedgerLayer::open(dir.path(), dearer.clone()).unwrap_err();
    assert_eq!(error.code(), "price_version_changed");
    let layer = LedgerLayer::open(dir.path(), prices()).unwrap();
    assert_eq!(
        layer.set_prices(dearer).unwrap_err().code(),
        "price_version_changed"
    );
    assert_eq!(PriceBook::read(dir.path().join("prices.toml")).unwrap(), prices());
    layer.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_has_too_long_a_name_is_refused_and_makes_nobody_ill() {
    let dir = tempfile::tempdir().unwrap();
    let (_ledger, layer) = open(&dir, Sync::Always);
    let stack = answering(layer.clone());
    let mut input = ask();
    input.extensions_mut().insert(Caller::new("x".repeat(1_000)));
    assert_eq!(
        stack.run_inference(input).await.unwrap_err().code(),
        "ledger_name_too_long"
    );
    assert_eq!(layer.health().status(), HealthStatus::Ready);
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    assert_eq!(metrics.get("ledger.held", &[]), Some(0.0));
}

#[cfg(feature = "failpoints")]
mod disk {
    use synapse_validator::ledger::{Fault, set_fault};

    use super::*;

    fn metric(layer: &LedgerLayer, name: &'static str) -> f64 {
        let mut metrics = MetricsData::default();
        layer.metrics(&mut metrics);
        metrics.get(name, &[]).expect(name)
    }

    #[tokio::test]
    async fn where_no_row_can_be_written_nobody_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, layer) = open(&dir, Sync::Always);
        let stack = answering(layer.clone());
        set_fault(dir.path(), Fault::FailsWrites);
        let error = stack.run_inference(ask()).await.unwrap_err();
        assert_eq!(error.code(), "ledger_unavailable");
        assert_eq!(
            (metric(&layer, "ledger.held"), metric(&layer, "ledger.open")),
            (0.0, 0.0)
        );
        assert_eq!(layer.health().status(), HealthStatus::Unhealthy);
        assert_eq!(ledger.balance(&"alice".into()), Some(Micros(1_000_000)));
    }

    #[tokio::test]
    async fn a_reply_whose_row_cannot_be_written_is_not_complete() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, layer) = open(&dir, Settings::default().sync);
        let mut output = answering(layer.clone()).run_inference(ask()).await.unwrap();
        for _ in 0..2 {
            output.body.next().await.unwrap().unwrap();
        }
        set_fault(dir.path(), Fault::FailsWrites);
        let error = output.body.next().await.unwrap().unwrap_err();
        assert_eq!(error.code(), "ledger_unavailable");
        assert!(output.body.next().await.is_none());
        assert_eq!(
            (metric(&layer, "ledger.held"), metric(&layer, "ledger.open")),
            (0.0, 0.0)
        );
        assert_eq!(metric(&layer, "ledger.unwritten"), 1.0);
        drop((output, layer, ledger));

        set_fault(dir.path(), Fault::None);
        let ledger = Ledger::open(dir.path(), Settings::default()).unwrap();
        assert_eq!(ledger.recovered().interrupted, 1);
        let row = only_row(&dir);
        assert_eq!(
            (row.outcome, row.charge),
            (Some(Outcome::Interrupted), Micros::ZERO)
        );
        assert_eq!(ledger.balance(&"alice".into()), Some(Micros(1_000_000)));
    }

    #[tokio::test]
    async fn where_replies_wait_for_the_disk_one_that_fails_is_not_complete() {
        let dir = tempfile::tempdir().unwrap();
        let (_ledger, layer) = open(&dir, Sync::Always);
        let mut output = answering(layer.clone()).run_inference(ask()).await.unwrap();
        for _ in 0..2 {
            output.body.next().await.unwrap().unwrap();
        }
        set_fault(dir.path(), Fault::FailsSyncs);
        let error = output.body.next().await.unwrap().unwrap_err();
        assert_eq!(error.code(), "ledger_unavailable");
        assert!(output.body.next().await.is_none());
        assert_eq!(
            (metric(&layer, "ledger.held"), metric(&layer, "ledger.open")),
            (0.0, 0.0)
        );

        let dir = tempfile::tempdir().unwrap();
        let (ledger, layer) = open(&dir, Sync::Always);
        set_fault(dir.path(), Fault::FailsSyncs);
        let error = answering(layer.clone()).run_inference(ask()).await.unwrap_err();
        assert_eq!(error.code(), "ledger_unavailable");
        assert_eq!(
            (metric(&layer, "ledger.held"), metric(&layer, "ledger.open")),
            (0.0, 0.0)
        );
        assert_eq!(ledger.balance(&"alice".into()), Some(Micros(1_000_000)));
    }
}
