//! A look at nodes that run: their status, their epochs, and why a miner earned what it earned.

use std::{
    fs,
    process::Output,
    time::{Duration, Instant},
};

use nodes_tests::{Gateway, Subnet, said};
use serde_json::Value;
use synapse_core::ScoreReport;
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(60);

fn text(output: &Output) -> &str {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::str::from_utf8(&output.stdout).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(text(output)).unwrap()
}

/// Asks until what is said is as it should be.
async fn until(mut ask: impl AsyncFnMut() -> Value, good: impl Fn(&Value) -> bool) -> Value {
    let late = Instant::now() + PATIENCE;
    loop {
        let said = ask().await;
        if good(&said) {
            return said;
        }
        assert!(Instant::now() < late, "it does not become so: {said:#}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_do_can_be_seen_while_they_do_it() {
    let listed = |subnet: &Subnet| {
        let process = subnet.validator("validator").arg("--probe-every=200ms");
        let at = format!("--advertise=http://{}", process.listens());
        process.arg(at)
    };
    let mut gateway = Gateway::start_as(2, 3, 5, listed).await;
    let data = |at: usize| format!("--data-dir={}", gateway.processes[at].data().display());
    let (of_validator, of_miner) = (data(1), data(2));

    let epochs = async || json(&said("validator", ["epochs", &of_validator, "--json"]).await);
    let submitted = |epochs: &Value| {
        let epochs = epochs.as_array().unwrap();
        epochs.iter().any(|epoch| epoch["stage"] == "submitted")
    };
    let epochs = until(epochs, submitted).await;
    let epoch = epochs
        .as_array()
        .unwrap()
        .iter()
        .find(|epoch| epoch["stage"] == "submitted");
    let epoch = epoch.unwrap()["epoch"].as_u64().unwrap();

    let status = async || json(&said("validator", ["status", &of_validator, "--json"]).await);
    let status = until(status, |told| !told["status"]["last"].is_null()).await;
    assert_eq!(status["running"], true);
    assert_eq!(status["status"]["miners"].as_array().unwrap().len(), 2);
    let shown = said("validator", ["status", &of_validator]).await;
    for word in ["the validator runs", "MINER", "ready", "TOKENS/S"] {
        assert!(text(&shown).contains(word), "{word} in {}", text(&shown));
    }
    assert!(
        !text(&shown).contains('\u{1b}'),
        "no colours where nobody sees them"
    );

    let url = format!("http://{}", gateway.address());
    let arguments = [
        "score",
        "--custom",
        "--validator",
        &url,
        "--epoch",
        &epoch.to_string(),
        "--json",
    ];
    let score = json(&gateway.subnet.run("miner", "miner-0", &arguments).await);
    let report: ScoreReport = serde_json::from_str(score["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (report.epoch.0, report.miner.as_str()),
        (epoch, &*gateway.miners[0].0),
        "its own"
    );
    assert_eq!(score["is_validator"], true);
    let unknown = ["score", "--validator", &url, "--epoch", "999999"];
    let unknown = gateway.subnet.run("miner", "miner-0", &unknown).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("epoch 999999 was not scored"));

    // Somebody at an address where the directory has nobody.
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let asked = async |arguments: &[&str]| {
        let arguments = [&["score", "--validator", &elsewhere], arguments].concat();
        gateway.subnet.run("miner", "miner-0", &arguments).await
    };
    let unlisted = asked(&[]).await;
    assert_eq!(unlisted.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&unlisted.stderr);
    assert!(
        stderr.contains("no validator of the subnet is listed there"),
        "{stderr}"
    );
    let named = asked(&["--validator-key", report.validator.as_str()]).await;
    assert!(text(&named).contains("signed by it, a validator of the subnet"));
    let another = asked(&["--validator-key", &gateway.miners[1].0]).await;
    assert_eq!(another.status.code(), Some(1));

    // The miner asks by itself, where the directory says.
    let of_miners = async || json(&said("miner", ["status", &of_miner, "--json"]).await);
    let seen = until(of_miners, |status| {
        !status["status"]["scores"].as_array().unwrap().is_empty()
    })
    .await;
    assert_eq!(
        seen["status"]["scores"][0]["validator"],
        report.validator.as_str()
    );

    gateway.validator.signal(nodes_tests::Signal::TERM);
    gateway
        .validator
        .ended(PATIENCE)
        .await
        .expect("nothing is under way");
    let ended = said("validator", ["status", &of_validator]).await;
    assert!(text(&ended).contains("the validator ended"), "{}", text(&ended));

    // As one that was killed leaves it, seen later.
    let file = gateway.processes[1].data().join("status.json");
    let mut left: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    left["running"] = true.into();
    left["written_at_ms"] = (left["written_at_ms"].as_u64().unwrap() - 3_600_000).into();
    fs::write(&file, left.to_string()).unwrap();
    let stale = said("validator", ["status", &of_validator]).await;
    assert!(
        text(&stale).contains("STALE: the validator wrote this 60 min ago"),
        "{}",
        text(&stale)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_is_not_to_judge_is_a_gateway_alone() {
    let mut gateway = Gateway::start_with(1, 1, 0, |validator| validator.arg("--judge=false")).await;
    let at = gateway.address();
    assert_eq!(nodes_tests::ask(at, "hello").await.unwrap().status(), 200);
    let mut summary = nodes_tests::get(at, "/synapse/v1/summary").await.unwrap();
    assert_eq!(summary.status(), 404, "{}", summary.text().await);
    gateway.validator.signal(nodes_tests::Signal::TERM);
    assert!(gateway.validator.ended(PATIENCE).await.unwrap().success());
}
