//! Who is let in, on what terms, and by which prices.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use synapse_core::{
    Attached, Body, Caller, ErrorKind, InferenceModule, Input, Message, MetricsData, Micros, ModuleExt,
    Output, Prompt, Request, Retry, Task, testkit::Scripted,
};
use synapse_validator::{
    billing::{Price, PriceBook, Terms, Unpaid},
    ledger::LedgerLayer,
};

use crate::ledger_layer::{PROMPT, anonymous, ask, books, prices, top_up, two_words};

#[tokio::test(start_paused = true)]
async fn what_a_balance_does_not_hold_is_refused_with_what_would_fit() {
    let books = books();
    let stack = two_words().with(books.layer.clone());
    let refused = |max_tokens: u32| {
        let stack = &stack;
        async move { stack.run_inference(ask(max_tokens)).await.unwrap_err() }
    };
    // 10,000 micros: 3 for the prompt, and 999 tokens at 10.
    let error = refused(1_000).await;
    assert_eq!(
        (error.kind(), error.code(), error.retry(), error.param()),
        (
            ErrorKind::PaymentRequired,
            "insufficient_balance",
            Retry::Never,
            Some("max_tokens")
        )
    );
    assert_eq!(
        error.to_string(),
        "the request may cost 0.010003, and the balance is 0.01; set max_tokens to 999 or less, or top up the balance"
    );
    let all = stack.run_inference(ask(999)).await.unwrap();
    assert_eq!(
        refused(1).await.to_string(),
        "the request may cost 0.000013, and the balance is 0.01, of which requests under way hold 0.009993; top up the \
         balance"
    );
    drop(all);
    stack.run_inference(ask(999)).await.unwrap();
    assert_eq!(refused(u32::MAX).await.code(), "insufficient_balance");
    assert_eq!(
        books.metric("ledger.refused", &[("code", "insufficient_balance")]),
        3
    );
    assert_eq!(books.rows("left"), 2);
    assert_eq!(books.all_rows(), 2, "what is refused has no row");
    assert_eq!(books.charged(), 0);

    // Several replies are held together.
    let mut two = Input::from_request(
        Task::CHAT,
        Request::new("scripted", Prompt::Messages(vec![Message::user("hello")]))
            .with_params(|params| (params.n, params.max_tokens) = (2, Some(500))),
    );
    two.extensions_mut().insert(Caller::new("alice"));
    let error = stack.run_inference(two).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request may cost 0.010003, and the balance is 0.01; set max_tokens to 499 or less, or top up the balance"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_at_once_spend_no_more_than_there_is() {
    let books = books();
    let stack = Arc::new(two_words().with(books.layer.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let stack = stack.clone();
        tasks.spawn(async move {
            // 1,003 micros each: nine fit at once.
            let mut output = stack.run_inference(ask(100)).await.ok()?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            while output.body.next().await.is_some() {}
            Some(())
        });
    }
    let answered = tasks.join_all().await.into_iter().flatten().count();
    assert_eq!(answered, 9);
    assert_eq!(books.charged(), 9 * (PROMPT + 40));
}

#[tokio::test(start_paused = true)]
async fn who_never_paid_in_is_served_or_refused_by_the_terms() {
    let books = books();
    let stack = two_words().with(books.layer.clone());
    let bob = || {
        let mut input = anonymous();
        input.extensions_mut().insert(Caller::new("bob"));
        input
    };
    stack.run_inference(bob()).await.unwrap().body.count().await;
    stack.run_inference(anonymous()).await.unwrap().body.count().await;
    assert_eq!(books.ledger.account(&"bob".into()), None);
    top_up(&books.ledger, "bob", Micros(100), "second");
    assert_eq!(
        books.ledger.balance(&"bob".into()),
        Some(Micros(100 - PROMPT - 40)),
        "what he owes is paid first"
    );

    books.layer.set_terms(Terms::default().unpaid(Unpaid::Refuse));
    let error = stack.run_inference(anonymous()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::PaymentRequired, "no_account")
    );
    let mut carol = anonymous();
    carol.extensions_mut().insert(Caller::new("carol"));
    assert_eq!(stack.run_inference(carol).await.unwrap_err().code(), "no_account");
    books.layer.set_prices(PriceBook::flat(Price::FREE)).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_cap_gets_one() {
    let books = books();
    let caps = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = caps.clone();
    let module = Scripted::new(move |input| {
        seen.lock().unwrap().push(input.max_tokens().unwrap());
        async { Ok(Output::new(Body::whole("ok"))) }
    });
    let stack = module.with(books.layer.clone().default_max_tokens(77));
    let mut input = anonymous();
    input.extensions_mut().insert(Caller::new("alice"));
    let output = stack.run_inference(input.clone()).await.unwrap();
    assert_eq!(books.metric("ledger.held", &[]), PROMPT + 770);
    drop(output);

    let ledger = books.ledger.clone();
    let module = stack;
    drop(module);
    let free = Scripted::new({
        let seen = caps.clone();
        move |input| {
            seen.lock().unwrap().push(input.max_tokens().unwrap());
            async { Ok(Output::new(Body::whole("ok"))) }
        }
    })
    .with(LedgerLayer::new(ledger, PriceBook::free()));
    free.run_inference(input).await.unwrap();
    assert_eq!(
        *caps.lock().unwrap(),
        [Some(77), None],
        "what costs nothing needs no cap"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sold_is_refused_and_has_no_row() {
    let books = books();
    let book = "[[version]]\nnumber = 2\nfrom = 2026-01-01\n[version.models.other]\nfree = true\n";
    let layer = LedgerLayer::new(books.ledger.clone(), book.parse().unwrap());
    let stack = two_words().with(layer.clone());
    let error = stack.run_inference(ask(1)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NotFound, "model_not_priced")
    );
    let mut metrics = MetricsData::default();
    layer.metrics(&mut metrics);
    assert_eq!(
        metrics.get("ledger.refused", &[("code", "model_not_priced")]),
        Some(1.0)
    );
    assert_eq!(books.all_rows(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_charged_as_it_was_begun() {
    let books = books();
    let stack = two_words().with(books.layer.clone());
    let under_way = stack.run_inference(ask(100)).await.unwrap();
    let book = format!(
        "{}\n[[version]]\nnumber = 2\nfrom = 2020-01-01\n[version.default]\nprompt = \"2\"\ncompletion = \"20\"\n",
        prices()
    );
    books.layer.set_prices(book.parse().unwrap()).unwrap();
    let after = stack.run_inference(ask(100)).await.unwrap();
    under_way.body.count().await;
    assert_eq!(
        books.ledger.account(&"alice".into()).unwrap().charged.0,
        PROMPT + 40
    );
    after.body.count().await;
    assert_eq!(books.charged(), 3 * (PROMPT + 40));
}
