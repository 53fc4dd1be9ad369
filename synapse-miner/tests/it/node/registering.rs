//! What a node pays, and how often.

use super::*;

#[tokio::test(start_paused = true)]
async fn it_registers_once_and_is_listed_as_what_it_is() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = start(&chain, data.path(), &engine, once(110)).await;
    seconds(3600).await;
    assert_eq!((chain.count("asked"), chain.count("paid 110")), (1, 1));
    let member = chain.member().unwrap();
    assert_eq!(member.endpoint.unwrap().to_string(), HERE);
    assert_eq!(member.capabilities, Some(Engine::claims(&["small"]).digest()));
    assert_eq!(chain.count("told"), 1);
    assert_eq!(node.events(), ["registering", "registered", "listed"]);
    let status = node.status.current();
    assert_eq!((status.registrations, status.spent), (1, Stake(110)));
    assert_eq!(status.membership.as_ref().unwrap().stake, STAKE);
    assert!(status.listed && status.alerts.is_empty(), "{status:?}");
    assert_eq!(status.metrics["engine.requests"].to_string(), "3");
    let read: MinerStatus = serde_json::from_str(&serde_json::to_string(&*status).unwrap()).unwrap();
    assert_eq!(read, *status);
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_it_pays_once() {
    // From before anything is stored, over the time that the chain takes, to long after.
    for at in (0..60).map(|step| Duration::from_millis(step * 50)) {
        let chain = Chain::with_blocks(Duration::from_millis(900));
        let (data, engine) = (tempfile::tempdir().unwrap(), Engine::new());
        let node = start(&chain, data.path(), &engine, once(110)).await;
        sleep(at).await;
        node.kill().await;
        let node = start(&chain, data.path(), &engine, once(110)).await;
        sleep(at).await;
        node.kill().await;
        let node = start(&chain, data.path(), &engine, once(110)).await;
        seconds(300).await;
        assert_eq!(
            chain.count("paid"),
            1,
            "killed after {at:?}: {:?}",
            chain.0.log.lock().unwrap()
        );
        assert_eq!(
            chain.count("again"),
            0,
            "killed after {at:?}: it was not asked twice either"
        );
        let status = node.status.current();
        assert_eq!(
            (status.registrations, status.spent),
            (1, Stake(110)),
            "killed after {at:?}"
        );
        assert!(status.listed, "killed after {at:?}: {:?}", node.events());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_nothing_twice() {
    for fault in [
        Fault::AnswerLost,
        Fault::Lost,
        Fault::Refused,
        Fault::Full,
        Fault::Away,
    ] {
        let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
        chain.fails(fault);
        let node = start(&chain, data.path(), &engine, once(110)).await;
        seconds(300).await;
        assert_eq!(chain.count("paid"), 1, "{fault:?}");
        let status = node.status.current();
        assert_eq!((status.registrations, status.spent), (1, Stake(110)), "{fault:?}");
        assert!(status.alerts.is_empty(), "{fault:?}: {status:?}");
        assert_eq!(
            node.said("not_registered"),
            usize::from(!matches!(fault, Fault::AnswerLost))
        );
    }
}

/// Whoever keeps a subnet full for long spends nobody's money.
#[tokio::test(start_paused = true)]
async fn what_was_surely_not_taken_counts_as_nothing_however_often_it_is_tried() {
    for (fault, register) in [
        (Fault::Full, once(110)),
        (Fault::Full, again(110)),
        (Fault::Away, once(110)),
        (Fault::Away, again(110)),
        (Fault::Refused, again(110)),
    ] {
        let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
        let params = SubnetParams::default().with_registration_fee(Stake(FEE));
        // A member that came with one epoch could lose its place with the next.
        chain.0.params.set(params.with_immunity(10));
        for _ in 0..1_000 {
            chain.fails(fault);
        }
        let node = start(&chain, data.path(), &engine, register).await;
        for id in 1..4 {
            seconds(600).await;
            chain.enters(id);
        }
        seconds(600).await;
        let (asked, status) = (chain.count("asked"), node.status.current());
        assert!(
            asked > 20,
            "{fault:?}, {register:?}: it goes on, and tried {asked} times"
        );
        assert_eq!(
            (status.registrations, status.spent),
            (0, Stake(0)),
            "{fault:?}, {register:?}"
        );
        assert_eq!(
            node.events(),
            ["registering", "not_registered"],
            "{fault:?}, {register:?}"
        );
        chain.0.faults.lock().unwrap().clear();
        seconds(120).await;
        let status = node.status.current();
        assert_eq!(chain.count("paid"), 1, "{fault:?}, {register:?}");
        assert_eq!(
            (status.registrations, status.spent),
            (1, Stake(110)),
            "{fault:?}, {register:?}"
        );
        assert!(status.alerts.is_empty(), "{fault:?}, {register:?}: {status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_dear_is_not_sent_and_says_what_it_would_cost() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = start(&chain, data.path(), &engine, once(109)).await;
    seconds(600).await;
    assert_eq!(chain.count("asked"), 0);
    assert_eq!(node.events(), ["not_registered"]);
    let text = node.status.current().alerts[0].text.clone();
    assert!(
        text.contains("costs 110, a fee of 10 and a stake of 100; 0 of the 109 that may be spent"),
        "{text}"
    );
    // The owner of the subnet asks for less.
    chain
        .0
        .params
        .set(SubnetParams::default().with_registration_fee(Stake(9)));
    seconds(5).await;
    assert_eq!((chain.count("asked"), node.alerts().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_loses_its_place_says_so_once_and_comes_back_only_if_told_to() {
    for (register, paid, alert) in [
        (Register::Never, 0, "deregistered"),
        (once(1_000), 1, "not_registered"),
        (again(1_000), 2, ""),
        (again(219), 1, "not_registered"),
    ] {
        let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
        if register == Register::Never {
            chain.set(Member::new(Chain::node(), Role::Miner).with_stake(STAKE));
        }
        let node = start(&chain, data.path(), &engine, register).await;
        seconds(60).await;
        assert!(node.status.current().listed, "{register:?}");
        chain.deregister();
        seconds(600).await;
        assert_eq!(chain.count("paid"), paid, "{register:?}");
        assert_eq!(node.said("deregistered"), 1, "{register:?}");
        assert_eq!(node.alerts().join(" "), alert, "{register:?}");
        assert_eq!(node.status.current().listed, alert.is_empty(), "{register:?}");
        // And a restart changes nothing of that.
        node.kill().await;
        let node = start(&chain, data.path(), &engine, register).await;
        seconds(600).await;
        assert_eq!(chain.count("paid"), paid, "{register:?}");
        assert_eq!(node.said("deregistered"), 0, "{register:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_blinks_costs_nothing() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    let node = start(&chain, data.path(), &engine, again(1_000)).await;
    seconds(60).await;
    let member = chain.member().unwrap();
    for _ in 0..10 {
        chain.deregister();
        seconds(20).await;
        chain.set(member.clone());
        seconds(20).await;
    }
    assert_eq!((chain.count("asked"), node.said("deregistered")), (1, 0));
}

/// It may have been a member that lost its place while the node was away: nobody can tell.
#[tokio::test(start_paused = true)]
async fn a_registration_that_was_long_under_way_counts_as_paid() {
    for (register, paid, alert) in [
        (once(1_000), 0, "not_registered"),
        (again(219), 0, "not_registered"),
        (again(220), 1, ""),
    ] {
        let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
        chain.fails(Fault::Lost);
        let node = start(&chain, data.path(), &engine, register).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(chain.count("asked"), 1);
        node.kill().await;
        chain.enters(5);
        let node = start(&chain, data.path(), &engine, register).await;
        seconds(300).await;
        assert_eq!(chain.count("paid"), paid, "{register:?}");
        assert_eq!(node.alerts().join(" "), alert, "{register:?}");
        if register == once(1_000) {
            let text = node.status.current().alerts[0].text.clone();
            assert!(text.contains("may have been a member"), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_is_started_as_a_miner_is_told() {
    let (chain, data, engine) = (Chain::new(), tempfile::tempdir().unwrap(), Engine::new());
    chain.set(Member::new(Chain::node(), Role::Validator));
    let node = start(&chain, data.path(), &engine, once(110)).await;
    seconds(60).await;
    assert_eq!(
        (chain.count("asked"), node.alerts()),
        (0, vec!["not_registered".to_owned()])
    );
}
