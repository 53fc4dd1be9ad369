//! Giving a place up, while it is being taken too.

use super::*;

fn leaves(node: MinerNode<StandardMiner>) -> MinerNode<StandardMiner> {
    node.leave_on_shutdown()
}

/// Starts a node that left, or was to, as it was before. It registers only where it never did.
async fn is_paid_for_once(chain: &Chain, data: &Path, when: &str) {
    let paid = chain.count("paid");
    let node = start(chain, data, &Engine::new(), once(1_000)).await;
    seconds(300).await;
    assert_eq!(
        chain.count("paid"),
        1,
        "{when}: {:?}",
        chain.0.log.lock().unwrap()
    );
    let status = node.status.current();
    assert_eq!((status.registrations, status.spent), (1, Stake(110)), "{when}");
    if paid == 1 && chain.member().is_none() {
        assert_eq!(node.events(), ["not_registered"], "{when}");
        assert!(
            status.alerts[0].text.contains("left or lost its place"),
            "{when}: {status:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn told_to_leave_at_any_moment_it_pays_once_and_keeps_no_place() {
    for at in (0..50).map(|step| Duration::from_millis(step * 80)) {
        let (chain, data) = (
            Chain::with_blocks(Duration::from_millis(900)),
            tempfile::tempdir().unwrap(),
        );
        let node = start_with(&chain, data.path(), &Engine::new(), once(1_000), leaves).await;
        sleep(at).await;
        node.end().await.unwrap();
        seconds(60).await;
        assert!(
            chain.member().is_none(),
            "{at:?}: {:?}",
            chain.0.log.lock().unwrap()
        );
        is_paid_for_once(&chain, data.path(), &format!("after {at:?}")).await;
    }
}

/// Just when the chain took it, and what that cost is on its way to the disk.
#[tokio::test(start_paused = true)]
async fn what_is_being_stored_while_it_is_told_to_leave_is_not_forgotten() {
    for polls in 0..30 {
        let (chain, data) = (Chain::with_blocks(Duration::ZERO), tempfile::tempdir().unwrap());
        let node = start_with(&chain, data.path(), &Engine::new(), once(1_000), leaves).await;
        while chain.count("paid") == 0 {
            // Unlike a sleep, this does not wait for the disk.
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
        node.end().await.unwrap();
        assert_eq!((chain.count("left"), chain.member()), (1, None), "{polls} polls");
        is_paid_for_once(&chain, data.path(), &format!("after {polls} polls")).await;
    }
}

/// Nobody waits for ever, and whoever looks is told.
#[tokio::test(start_paused = true)]
async fn a_block_that_comes_too_late_for_leaving_is_paid_for_once_too() {
    let (chain, data) = (
        Chain::with_blocks(Duration::from_secs(60)),
        tempfile::tempdir().unwrap(),
    );
    let node = start_with(&chain, data.path(), &Engine::new(), once(1_000), leaves).await;
    seconds(1).await;
    let (events, status) = (node.events.clone(), node.status.clone());
    node.end().await.unwrap();
    assert_eq!(*events.lock().unwrap(), ["registering", "draining", "not_left"]);
    let text = status.current().alerts.last().unwrap().text.clone();
    assert!(text.contains("may become a member yet"), "{text}");
    seconds(120).await;
    assert!(chain.member().is_some());
    is_paid_for_once(&chain, data.path(), "after a late block").await;
    assert!(chain.member().is_some());
}
