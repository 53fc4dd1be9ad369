//! What `miner preflight` finds, as the program is told by its options.

use nodes_tests::Subnet;
use serde_json::Value;

/// The checks that failed, of a miner with these options besides.
async fn failed(subnet: &Subnet, options: &[&str]) -> Vec<String> {
    // An address of this machine that nobody listens on.
    let listens = subnet.validator("miner").listens();
    let data = tempfile::tempdir().unwrap();
    let here = [
        format!("--listen=0.0.0.0:{}", listens.port()),
        format!("--advertise=http://{listens}"),
        format!("--data-dir={}", data.path().display()),
    ];
    let usual = [
        "preflight",
        "--custom",
        "--json",
        "--plain-http",
        "--allow-loopback",
    ];
    let arguments: Vec<_> = usual
        .into_iter()
        .chain(here.iter().map(String::as_str))
        .chain(options.iter().copied())
        .collect();
    let said = subnet.run("miner", "miner", &arguments).await;
    let report: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    let checks = report["checks"].as_array().unwrap().iter();
    let failed: Vec<_> = checks
        .filter(|check| check["status"] == "failed")
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said.status.success(), failed.is_empty(), "{report:#}");
    failed
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_has_to_be_allowed_to_the_server_and_dialled_by_validators() {
    let subnet = Subnet::new();
    let _ = subnet.key("miner");
    let check = async |options: &[&str], expect: &[&str]| {
        assert_eq!(failed(&subnet, options).await, expect, "{options:?}");
    };
    check(&[], &["port", "reachability", "replies"]).await;
    check(&["--allow-plain-validators"], &["port", "reachability"]).await;
    check(&["--allow-plain-http"], &["replies"]).await;
    check(&["--allow-plain-http", "--allow-plain-validators"], &[]).await;
}
