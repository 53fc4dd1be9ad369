//! The loop that judges, from epoch to epoch.

use std::time::Duration;

use synapse_core::{Error, ErrorKind, Member, Retry, Role};
use tokio::time::sleep;

use crate::{
    fleet::Miner,
    node_chain::Fault,
    node_world::{World, run},
};

const WEIGHTS: [(&str, u16); 1] = [("a", 65_535)];

fn weights(of: &[(&str, u16)]) -> Vec<(String, u16)> {
    of.iter()
        .map(|(node, value)| ((*node).to_owned(), *value))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_epoch_is_closed_scored_and_submitted_once() {
    let world = World::of_two();
    let node = run(world.node());
    for id in 1..=3 {
        world.epoch(id).await;
    }
    node.stop().await.unwrap();
    let taken = (1..=3).map(|id| (id, weights(&WEIGHTS))).collect::<Vec<_>>();
    assert_eq!(world.chain.taken(), taken);
    assert_eq!(world.chain.calls().len(), 3);
    assert_eq!(
        world.stages(),
        [(1, "submitted"), (2, "submitted"), (3, "submitted"), (4, "open")]
    );
    assert_eq!(world.alerts(), Vec::<String>::new());
    let operation = world.chain.calls()[0].0.to_string();
    assert_eq!(operation, "weights/7/validator/1");
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_while_an_epoch_is_weighed_belongs_to_the_next() {
    let world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(1);
    sleep(Duration::from_secs(60)).await;
    node.stop().await.unwrap();
    let (first, second) = (world.probes(1, "a"), world.probes(2, "a"));
    assert!((6..=12).contains(&first), "{first} probes in 8 s");
    assert!((45..=75).contains(&second), "{second} probes in 60 s");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_begun_while_weights_are_taken_has_nothing_to_say_of_that_epoch() {
    let world = World::of_two();
    world.chain.weighing(4);
    let node = run(world.node());
    sleep(Duration::from_secs(5)).await;
    world.epoch(5).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [5]);
    assert_eq!(world.stages(), [(5, "submitted"), (6, "open")]);
}

#[tokio::test(start_paused = true)]
async fn an_epoch_whose_window_was_skipped_is_missed_and_one_that_was_skipped_whole_is_not_mentioned() {
    let world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.serving(5);
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(5);
    sleep(Duration::from_secs(4)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [5]);
    assert_eq!(world.stages(), [(1, "missed"), (5, "submitted"), (6, "open")]);
    assert_eq!(world.alerts(), ["weights_missed", "weights_missed is over"]);
}

#[tokio::test(start_paused = true)]
async fn without_evidence_nothing_is_submitted() {
    let world = World::of([]);
    let node = run(world.node());
    world.epoch(1).await;
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.calls().len(), 0);
    assert_eq!(
        world.stages(),
        [(1, "no_opinion"), (2, "no_opinion"), (3, "open")]
    );
    assert_eq!(world.alerts(), ["no_opinion"]);
}

#[tokio::test(start_paused = true)]
async fn where_every_score_is_zero_nothing_is_submitted() {
    let world = World::of([("b", Miner::failing(Error::internal("broken", "it always fails")))]);
    let node = run(world.node());
    world.epoch(1).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.calls().len(), 0);
    assert_eq!(world.stages(), [(1, "no_opinion"), (2, "open")]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_cannot_be_reached_is_tried_again_until_it_takes_the_weights() {
    let world = World::of_two();
    world
        .chain
        .fail_often(3, &Error::unavailable("refused", "the connection was refused"));
    let node = run(world.node());
    world.epoch(1).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.chain.calls().len(), 4);
    assert_eq!(
        world.alerts(),
        ["submission_failing", "submission_failing is over"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_limits_the_rate_is_asked_again_when_it_says() {
    let world = World::of_two();
    let slowly = Error::new(ErrorKind::RateLimited, "rate_limited", "one in 3 s")
        .with_retry(Retry::After(Duration::from_secs(3)));
    world.chain.fail(Fault::Refuse(slowly));
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.weighing(1);
    sleep(Duration::from_millis(2_900)).await;
    assert_eq!(world.chain.calls().len(), 1);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(world.chain.weighed(), [1]);
    node.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_once_the_window_is_over() {
    let world = World::of_two();
    let full = Error::new(ErrorKind::Overloaded, "mempool_full", "no room");
    world.chain.fail_often(1000, &full);
    let node = run(world.node());
    world.epoch(1).await;
    let calls = world.chain.calls().len();
    assert!(calls > 2, "{calls} calls");
    world.chain.serving(2);
    sleep(Duration::from_secs(60)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.calls().len(), calls);
    assert_eq!(world.stages(), [(1, "missed"), (2, "open")]);
    assert_eq!(
        world.alerts(),
        [
            "submission_failing",
            "submission_failing is over",
            "weights_missed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_in_the_last_moment_is_not_called_missed() {
    let world = World::of_two();
    world.chain.fail(Fault::TakeAndHang);
    let node = run(world.node());
    world.epoch(1).await;
    world.chain.serving(2);
    sleep(Duration::from_secs(70)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.stages(), [(1, "submitted"), (2, "open")]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_does_not_count_twice() {
    let world = World::of_two();
    let lost = Error::broken("outcome_unknown", "the connection broke");
    world.chain.fail(Fault::TakeAndSay(lost));
    let node = run(world.node());
    world.epoch(1).await;
    node.stop().await.unwrap();
    assert_eq!((world.chain.weighed(), world.chain.calls().len()), (vec![1], 2));
    assert_eq!(world.stages()[0], (1, "submitted"));
}

#[tokio::test(start_paused = true)]
async fn a_miner_that_left_costs_the_others_nothing() {
    let world = World::of([("a", Miner::good()), ("c", Miner::good()), ("d", Miner::good())]);
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.leave("a");
    world.chain.leave_secretly("d");
    world.chain.weighing(1);
    sleep(Duration::from_secs(4)).await;
    node.stop().await.unwrap();
    let taken = world.chain.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        taken[0]
            .1
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["c"]
    );
    assert_eq!(world.chain.calls().len(), 2, "one with `d`, one without");
    assert_eq!(world.stages()[0], (1, "submitted"));
}

#[tokio::test(start_paused = true)]
async fn a_validator_without_stake_says_so_and_goes_on() {
    let world = World::of_two();
    world.chain.join(Member::new("validator", Role::Validator));
    let node = run(world.node());
    world.epoch(1).await;
    assert_eq!(world.stages()[0], (1, "refused"));
    assert_eq!(world.alerts(), ["may_not_weigh"]);
    world
        .chain
        .join(Member::new("validator", Role::Validator).with_stake(synapse_core::Stake(100)));
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [2]);
    assert_eq!(world.alerts(), ["may_not_weigh", "may_not_weigh is over"]);
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_is_no_member_says_so() {
    let world = World::of_two();
    world.chain.leave("validator");
    let node = run(world.node());
    world.epoch(1).await;
    node.stop().await.unwrap();
    assert_eq!(world.stages()[0], (1, "refused"));
    assert_eq!(world.alerts(), ["not_a_member", "weights_refused"]);
}

#[tokio::test(start_paused = true)]
async fn weights_that_the_chain_has_otherwise_are_not_sent_for_ever() {
    let world = World::of_two();
    world.chain.fail(Fault::Refuse(Error::invalid(
        "operation_reused",
        "used for other weights",
    )));
    let node = run(world.node());
    world.epoch(1).await;
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.calls().len(), 2);
    assert_eq!(world.stages()[..2], [(1, "refused"), (2, "submitted")]);
    assert_eq!(world.alerts(), ["weights_refused", "weights_refused is over"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_whose_client_panics_is_tried_again() {
    let world = World::of_two();
    world.chain.fail(Fault::Panic);
    let node = run(world.node());
    world.epoch(1).await;
    world.chain.serving(2);
    sleep(Duration::from_secs(1)).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1]);
    assert_eq!(world.alerts(), ["task_failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_begun_again_and_loses_nothing() {
    let world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(8)).await;
    world.chain.panic_once();
    world.chain.weighing(1);
    sleep(Duration::from_secs(4)).await;
    world.epoch(2).await;
    node.stop().await.unwrap();
    assert_eq!(world.chain.weighed(), [1, 2]);
    assert_eq!(world.alerts(), ["task_failed", "task_failed is over"]);
    let asked = u64::try_from(world.miners["a"].asked()).unwrap();
    let counted: u64 = (1..=3).map(|id| world.probes(id, "a")).sum();
    assert!(asked - counted <= 1, "{counted} of {asked}");
    let record = world.state.get(synapse_core::EpochId(1)).unwrap().unwrap();
    assert_eq!(record.evidence.interruptions, 0, "the log went on");
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_gone_ends_the_node_with_what_it_saw_stored() {
    let world = World::of_two();
    let node = run(world.node());
    sleep(Duration::from_secs(3)).await;
    world.chain.end();
    assert_eq!(node.ended().await.unwrap_err().code(), "chain_gone");
    assert!(world.probes(1, "a") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_stalls_is_told_of_and_loses_nothing() {
    let world = World::of_two();
    let node = run(world.node());
    world.epoch(1).await;
    world.epoch(2).await;
    world.chain.serving(3);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(world.alerts(), ["chain_stalled"]);
    world.chain.weighing(3);
    sleep(Duration::from_secs(4)).await;
    node.stop().await.unwrap();
    assert_eq!(world.alerts(), ["chain_stalled", "chain_stalled is over"]);
    assert_eq!(world.chain.weighed(), [1, 2, 3]);
    assert!(world.probes(3, "a") > 500);
}
