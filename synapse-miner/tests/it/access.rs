//! Who may call, and how much.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use futures_util::StreamExt;
use http::{Method, Request};
use synapse_core::{
    BlockNumber, Body, Delta, Directory, Error, ErrorKind, FinishReason, InferenceModule, Input, Member,
    Message, ModuleExt, Output, Retry, Role, Stake, Watch,
    keys::{Keypair, Scheme, Signer},
    testkit::{ManualClock, Scripted},
};
use synapse_http::{
    SignedBy, Verifier,
    signed::btauth::{self, Content},
};
use synapse_miner::access::{AccessLayer, AccessRules, CallerLimits, OwnRequest, Standing};
use tokio::time::advance;

/// Whom a verifier let through.
pub(crate) async fn caller(name: &str, role: Role, stake: u64) -> SignedBy {
    let key = Keypair::from_uri(Scheme::Sr25519, name).unwrap();
    let miner = Keypair::from_uri(Scheme::Sr25519, "//Bob").unwrap();
    let member = Member::new(key.address().clone(), role).with_stake(Stake(stake));
    let clock = Arc::new(ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_752_076_800)));
    let directory = Watch::constant(Directory::new([member], BlockNumber(1)));
    let verifier = Verifier::new(miner.address().clone(), directory)
        .callers([Role::Validator, Role::Miner])
        .clock(clock.clone());
    clock.advance(Duration::from_secs(60));
    let content = Content {
        method: &Method::POST,
        target: "/",
        body: b"",
    };
    let nonce = 1_752_076_860_000_000_000;
    let headers = btauth::sign(&key, content, Some(miner.address()), nonce)
        .await
        .unwrap();
    let mut request = Request::post("/").body(()).unwrap();
    *request.headers_mut() = headers;
    verifier.check(&request.into_parts().0, b"").unwrap()
}

fn ask_as(caller: &SignedBy) -> Input {
    let mut input = Input::chat("scripted", [Message::user("hello")]);
    input.extensions_mut().insert(caller.clone());
    input
}

type Seen = Arc<Mutex<Vec<Standing>>>;

/// A module behind `access` that answers ten words, and notes whom the queue would see.
fn behind(access: &AccessLayer) -> (impl InferenceModule + Clone + use<>, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let module = Scripted::new(move |input: Input| {
        noted
            .lock()
            .unwrap()
            .extend(input.extensions().get::<Standing>().cloned());
        let words = (0..9).map(|_| Delta::text("word "));
        let reply = Output::new(Body::from_deltas(
            words.chain([Delta::finish(FinishReason::Stop)]),
        ));
        async move { Ok(reply) }
    });
    (module.with(access.clone()).attach(access.clone()), seen)
}

async fn whole(module: &impl InferenceModule, input: Input) -> Result<(), Error> {
    let mut output = module.run_inference(input).await?;
    while let Some(chunk) = output.body.next().await {
        chunk?;
    }
    Ok(())
}

fn refused(module: &impl InferenceModule, reason: &str) -> f64 {
    let metrics = module.get_metrics();
    metrics.get("access.refused", &[("reason", reason)]).unwrap()
}

#[tokio::test]
async fn each_rule_refuses_with_a_code_of_its_own() {
    let alice = caller("//Alice", Role::Validator, 100).await;
    let charlie = caller("//Charlie", Role::Miner, 100).await;
    let rules = AccessRules::default;
    for (rules, caller, code, reason) in [
        (rules().deny([alice.node().clone()]), &alice, "denied", "denied"),
        (
            rules().only([charlie.node().clone()]),
            &alice,
            "not_allowed",
            "not_allowed",
        ),
        (rules(), &charlie, "role_not_allowed", "role"),
        (rules().least_stake(Stake(101)), &alice, "stake_too_low", "stake"),
    ] {
        let (module, seen) = behind(&AccessLayer::new(rules));
        let error = whole(&module, ask_as(caller)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, code));
        assert_eq!((refused(&module, reason), seen.lock().unwrap().len()), (1.0, 0));
    }
}

#[tokio::test]
async fn who_is_denied_may_not_even_where_he_is_allowed() {
    let alice = caller("//Alice", Role::Validator, 100).await;
    let both = AccessRules::default()
        .only([alice.node().clone()])
        .deny([alice.node().clone()]);
    let (module, _) = behind(&AccessLayer::new(both));
    assert_eq!(whole(&module, ask_as(&alice)).await.unwrap_err().code(), "denied");
}

#[tokio::test]
async fn what_is_let_through_carries_who_asks_and_his_stake() {
    let alice = caller("//Alice", Role::Validator, 100).await;
    let (module, seen) = behind(&AccessLayer::default());
    whole(&module, ask_as(&alice)).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [Standing::new(alice.node().clone(), Stake(100))]
    );
}

#[tokio::test]
async fn without_a_signature_only_the_process_itself_may() {
    let (module, seen) = behind(&AccessLayer::default());
    let mut own = Input::chat("scripted", [Message::user("hello")]);
    let error = whole(&module, own.clone()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unauthenticated, "unsigned_request")
    );
    own.extensions_mut().insert(OwnRequest);
    whole(&module, own).await.unwrap();
    assert_eq!(
        (refused(&module, "unsigned"), seen.lock().unwrap().len()),
        (1.0, 0)
    );
}

#[tokio::test]
async fn rules_change_while_it_runs() {
    let alice = caller("//Alice", Role::Validator, 100).await;
    let access = AccessLayer::default();
    let (module, _) = behind(&access);
    let under_way = module.run_inference(ask_as(&alice)).await.unwrap();
    access.set_rules(AccessRules::default().deny([alice.node().clone()]));
    assert_eq!(whole(&module, ask_as(&alice)).await.unwrap_err().code(), "denied");
    let mut body = under_way.body;
    while let Some(chunk) = body.next().await {
        chunk.unwrap();
    }
    access.set_rules(AccessRules::default());
    whole(&module, ask_as(&alice)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_has_so_many_requests_under_way_and_others_their_own() {
    let (alice, dave) = (
        caller("//Alice", Role::Validator, 1).await,
        caller("//Dave", Role::Validator, 1).await,
    );
    let limits = CallerLimits::default().in_flight(2);
    let (module, _) = behind(&AccessLayer::new(AccessRules::default().limits(limits)));
    let one = module.run_inference(ask_as(&alice)).await.unwrap();
    let two = module.run_inference(ask_as(&alice)).await.unwrap();
    let error = module.run_inference(ask_as(&alice)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.retry()),
        (
            ErrorKind::RateLimited,
            "caller_limit_reached",
            Retry::After(Duration::from_secs(1))
        )
    );
    assert!(module.run_inference(ask_as(&dave)).await.is_ok());
    drop(one);
    assert!(module.run_inference(ask_as(&alice)).await.is_ok());
    drop(two);
    let metrics = module.get_metrics();
    assert_eq!(metrics.get("access.in_flight", &[]), Some(0.0));
    assert_eq!(
        metrics.get("access.callers", &[]),
        Some(0.0),
        "who uses nothing is forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_a_minute_come_back_evenly() {
    let alice = caller("//Alice", Role::Validator, 1).await;
    let limits = CallerLimits::default().requests_per_minute(60);
    let (module, _) = behind(&AccessLayer::new(AccessRules::default().limits(limits)));
    for _ in 0..60 {
        whole(&module, ask_as(&alice)).await.unwrap();
    }
    let error = whole(&module, ask_as(&alice)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(1)));
    advance(Duration::from_millis(999)).await;
    assert!(whole(&module, ask_as(&alice)).await.is_err());
    advance(Duration::from_millis(1)).await;
    whole(&module, ask_as(&alice)).await.unwrap();
    assert_eq!(refused(&module, "requests"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_held_as_the_request_allows_and_set_right_by_the_reply() {
    let alice = caller("//Alice", Role::Validator, 1).await;
    let limits = CallerLimits::default().tokens_per_minute(120);
    let (module, _) = behind(&AccessLayer::new(AccessRules::default().limits(limits)));
    let asking = || {
        let mut input = ask_as(&alice);
        input.set_max_tokens(100).unwrap();
        input
    };
    let output = module.run_inference(asking()).await.unwrap();
    let error = module.run_inference(asking()).await.unwrap_err();
    assert_eq!(error.code(), "caller_limit_reached");
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        chunk.unwrap();
    }
    // Ten came, of the hundred that it might have had.
    whole(&module, asking()).await.unwrap();
    assert_eq!(refused(&module, "tokens"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_uses_no_tokens() {
    let alice = caller("//Alice", Role::Validator, 1).await;
    let limits = CallerLimits::default().tokens_per_minute(500);
    let access = AccessLayer::new(AccessRules::default().limits(limits));
    let full = Scripted::new(|_| async { Err(Error::new(ErrorKind::Overloaded, "queue_full", "no room")) });
    let module = full.with(access.clone()).attach(access);
    for _ in 0..100 {
        let mut input = Input::chat("scripted", [Message::user("hello ".repeat(60))]);
        input.extensions_mut().insert(alice.clone());
        assert_eq!(whole(&module, input).await.unwrap_err().code(), "queue_full");
    }
}
