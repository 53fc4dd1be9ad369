//! Faults that are planted in a set-up: each is found, named, and told from the others.

use std::{sync::Arc, time::Duration};

use synapse_core::{
    Endpoint, Error, Health, InferenceModule, Input, MetricsData, ModuleCapabilities, Output, SystemClock,
    async_trait, keys::Signer,
};
use synapse_http::tls::NodeTls;
use synapse_miner::{Preflight, preflight::Status};

use crate::preflight::{
    Engine, Off, failed, free_address, https, key, others, reference, running, serve, set_up, status, text,
};

#[tokio::test]
async fn a_closed_port() {
    let (key, nowhere) = (key(), free_address());
    let report = Preflight::new(key.address().clone(), https(nowhere))
        .serve("127.0.0.1:0", Engine::HONEST.start())
        .tls(NodeTls::new(key.clone()).await.unwrap())
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["reachability"], "{report}");
    assert!(
        text(&report, "reachability").contains("connect_failed"),
        "{report}"
    );
    assert_eq!(status(&report, "identity"), Status::Skipped);
    assert_eq!(
        status(&report, "models"),
        Status::Passed,
        "the engine is asked directly"
    );
}

#[tokio::test]
async fn a_wrong_advertised_address() {
    let (miner, other, validator) = (key(), key(), key());
    let elsewhere = running(&other, &validator, Arc::new(SystemClock)).await;
    let report = Preflight::new(miner.address().clone(), https(elsewhere.address))
        .serve("127.0.0.1:0", Engine::HONEST.start())
        .tls(NodeTls::new(miner.clone()).await.unwrap())
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["identity"], "{report}");
    assert!(text(&report, "identity").contains("leads elsewhere"), "{report}");
    assert_eq!(status(&report, "certificate"), Status::Passed);
    assert_eq!(status(&report, "models"), Status::Passed);
}

#[tokio::test]
async fn an_address_that_no_validator_dials() {
    let key = key();
    let address = free_address();
    let report = Preflight::new(key.address().clone(), https(address))
        .serve(address.to_string(), Engine::HONEST.start())
        .tls(NodeTls::new(key.clone()).await.unwrap())
        .run()
        .await;
    assert_eq!(failed(&report), ["reachability"], "{report}");
    assert!(
        text(&report, "reachability").contains("address_refused"),
        "{report}"
    );
}

#[tokio::test]
async fn a_second_process_of_the_same_key() {
    let (miner, validator) = (key(), key());
    let first = running(&miner, &validator, Arc::new(SystemClock)).await;
    let report = Preflight::new(miner.address().clone(), https(first.address))
        .serve("127.0.0.1:0", Engine::HONEST.start())
        .tls(NodeTls::new(miner.clone()).await.unwrap())
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["identity"], "{report}");
    assert!(text(&report, "identity").contains("another process"), "{report}");
}

#[tokio::test]
async fn a_clock_that_is_off_by_a_minute() {
    async fn check(off: i64, expect: &str) {
        let clock = reference().await;
        let report = set_up(&key(), Engine::HONEST.start())
            .await
            .wall_clock(Arc::new(Off(off)))
            .compare_clock_with(format!("http://{}", clock.address))
            .run()
            .await;
        assert_eq!(failed(&report), ["clock"], "{report}");
        let said = text(&report, "clock");
        assert!(said.contains(expect), "{said}");
        let seconds: f64 = said
            .split_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap();
        assert!((58.0..62.0).contains(&seconds), "{said}");
    }
    tokio::join!(check(60, "s ahead of that of"), check(-60, "s behind that of"));
}

#[tokio::test]
async fn a_running_node_whose_clock_is_off_by_a_minute() {
    async fn check(off: i64, expect: &str) {
        let (miner, validator) = (key(), key());
        let running = running(&miner, &validator, Arc::new(Off(off))).await;
        let report = Preflight::new(miner.address().clone(), https(running.address))
            .allow_loopback(true)
            .ask_as(validator.clone())
            .run()
            .await;
        assert_eq!(failed(&report), ["clock"], "{report}");
        assert!(text(&report, "clock").contains(expect), "{report}");
    }
    tokio::join!(
        check(60, "the node's clock is 60.0 s ahead of this machine's"),
        check(-60, "the node's clock is 60.0 s behind this machine's")
    );
}

#[tokio::test]
async fn a_model_that_the_engine_does_not_have() {
    let engine = Engine {
        has_second_model: false,
        ..Engine::HONEST
    };
    let report = set_up(&key(), engine.start()).await.run().await;
    assert_eq!(failed(&report), ["models"], "{report}");
    assert!(text(&report, "models").contains("second"), "{report}");
}

#[tokio::test]
async fn a_context_that_is_shorter_than_claimed() {
    let engine = Engine {
        context: 512,
        ..Engine::HONEST
    };
    let report = set_up(&key(), engine.start()).await.run().await;
    assert_eq!(failed(&report), ["context"], "{report}");
    assert!(
        text(&report, "context").contains("2048 tokens of first"),
        "{report}"
    );
}

#[tokio::test]
async fn replies_that_are_not_streamed() {
    let engine = Engine {
        streams: false,
        pause: Duration::from_millis(20),
        ..Engine::HONEST
    };
    let report = set_up(&key(), engine.start()).await.run().await;
    assert_eq!(failed(&report), ["streaming"], "{report}");
    assert!(text(&report, "streaming").contains("in one piece"), "{report}");
}

#[tokio::test]
async fn a_wrong_key() {
    let (registered, other) = (key(), key());
    let address = free_address();
    let report = Preflight::new(registered.address().clone(), https(address))
        .serve(address.to_string(), Engine::HONEST.start())
        .tls(NodeTls::new(other).await.unwrap())
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["certificate", "identity"], "{report}");
    assert!(text(&report, "certificate").contains("tls_wrong_key"), "{report}");
    assert_eq!(status(&report, "models"), Status::Passed);
}

#[tokio::test]
async fn unsigned_replies() {
    let (miner, address) = (key(), free_address());
    let plain = || {
        Preflight::new(
            miner.address().clone(),
            Endpoint::http(&format!("http://{address}")).unwrap(),
        )
        .serve(address.to_string(), Engine::HONEST.start())
        .allow_loopback(true)
    };
    let report = plain().run().await;
    assert_eq!(failed(&report), ["replies"], "{report}");
    assert_eq!(status(&report, "signatures"), Status::Passed);
    let report = plain().allow_plain_http(true).run().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(status(&report, "replies"), Status::Warning);
}

#[tokio::test]
async fn a_server_without_tls_for_other_machines() {
    let (miner, address) = (key(), free_address());
    let open = |dialled: bool, served: bool| {
        let advertised = Endpoint::http(&format!("http://{address}")).unwrap();
        Preflight::new(miner.address().clone(), advertised)
            .serve(format!("0.0.0.0:{}", address.port()), Engine::HONEST.start())
            .allow_loopback(true)
            .allow_plain_http(dialled)
            .serve_plain_http(served)
            .run()
    };
    let report = open(true, false).await;
    assert_eq!(failed(&report), ["port", "reachability"], "{report}");
    assert!(text(&report, "port").contains("without TLS"), "{report}");
    let report = open(false, true).await;
    assert_eq!(failed(&report), ["replies"], "{report}");
    let report = open(true, true).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn a_server_that_answers_whoever_asks() {
    let miner = key();
    let open = serve(synapse_http::router(Engine::HONEST.start()), Some(miner.clone())).await;
    let report = Preflight::new(miner.address().clone(), https(open.address))
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["signatures"], "{report}");
}

#[tokio::test]
async fn too_slow() {
    let engine = Engine {
        pause: Duration::from_millis(20),
        ..Engine::HONEST
    };
    let report = set_up(&key(), engine.start())
        .await
        .compare_with(others(10_000))
        .run()
        .await;
    assert_eq!(failed(&report), ["speed"], "{report}");
    assert!(
        text(&report, "speed").contains("% of the subnet's median of 10000.0"),
        "{report}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let miner = key();
    let report = Preflight::new(miner.address().clone(), https(free_address()))
        .serve(address.to_string(), Engine::HONEST.start())
        .tls(NodeTls::new(miner).await.unwrap())
        .allow_loopback(true)
        .run()
        .await;
    assert_eq!(failed(&report), ["port", "reachability"], "{report}");
    assert!(text(&report, "port").contains("address_in_use"), "{report}");
    assert_eq!(status(&report, "models"), Status::Passed);
}

#[tokio::test]
async fn an_engine_that_does_not_start() {
    struct Broken;
    #[async_trait]
    impl InferenceModule for Broken {
        async fn initialize(&self) -> Result<(), Error> {
            Err(Error::unavailable(
                "no_model_file",
                "the model's file is not there",
            ))
        }
        async fn health_check(&self) -> Result<Health, Error> {
            Ok(Health::unhealthy("not started"))
        }
        fn get_capabilities(&self) -> ModuleCapabilities {
            ModuleCapabilities::new("broken")
        }
        async fn run_inference(&self, _: Input) -> Result<Output, Error> {
            Err(Error::unavailable(
                "no_model_file",
                "the model's file is not there",
            ))
        }
        fn get_metrics(&self) -> MetricsData {
            MetricsData::default()
        }
    }
    let report = set_up(&key(), Broken).await.run().await;
    assert_eq!(failed(&report), ["engine", "capabilities"], "{report}");
    assert!(text(&report, "engine").contains("no_model_file"), "{report}");
    for name in ["port", "certificate", "reachability", "identity", "signatures"] {
        assert_eq!(status(&report, name), Status::Passed, "{report}");
    }
}

#[tokio::test]
async fn many_faults_are_all_named_in_one_run() {
    let (miner, clock) = (key(), reference().await);
    let engine = Engine {
        pause: Duration::from_millis(20),
        context: 512,
        has_second_model: false,
        streams: false,
    };
    let report = Preflight::new(miner.address().clone(), https(free_address()))
        .serve("127.0.0.1:0", engine.start())
        .tls(NodeTls::new(key()).await.unwrap())
        .allow_loopback(true)
        .wall_clock(Arc::new(Off(60)))
        .compare_clock_with(format!("http://{}", clock.address))
        .compare_with(others(10_000))
        .run()
        .await;
    assert_eq!(
        failed(&report),
        [
            "certificate",
            "reachability",
            "clock",
            "models",
            "context",
            "streaming",
            "speed"
        ],
        "{report}"
    );
}
