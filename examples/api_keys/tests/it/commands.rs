//! What the commands do and print.

use std::fs;

use serde_json::json;

use super::program::{ask, create, done, gateway, json, run, text};

#[tokio::test]
async fn a_key_is_printed_once_and_works_at_once_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let gateway = gateway(folder).await;
    let made = run(folder, &["create", "--caller", "alice"]);
    let key = text(&made.stdout);
    assert!(
        key.starts_with("sk-syn-") && key.len() == 71 && !key.contains('\n'),
        "{key}"
    );
    assert!(!text(&made.stderr).contains("sk-syn-"));
    assert_eq!(ask(gateway, key).await.0, 200);

    let listed = json(folder, &["list"]);
    let id = listed[0]["id"].as_str().unwrap();
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", id],
        &["show", id, "--json"],
    ] {
        let output = run(folder, arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && said.contains(id), "{said}");
        assert!(!said.contains(&key[7..]), "{said}");
    }
    for file in fs::read_dir(folder.join("api-keys")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(&key[7..]));
    }
    assert_eq!(done(folder, &["revoke", id]), id);
    let (status, body) = ask(gateway, key).await;
    assert_eq!((status, &body["error"]["code"]), (401, &"revoked_api_key".into()));
    assert_eq!(done(folder, &["revoke", id]), id, "again changes nothing");
    assert!(done(folder, &["list"]).contains("revoked"));
}

#[test]
fn what_a_key_may_is_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut made = json(
        folder,
        &[
            "create",
            "--caller",
            "alice",
            "--models",
            "smollm2,gemma",
            "--expires",
            "30d",
            "--note",
            "for the web site",
            "--requests-per-minute",
            "60",
            "--tokens-per-day",
            "100000",
            "--spend-per-month",
            "12.50",
        ],
    );
    let made = made.as_object_mut().unwrap();
    assert!(
        made.remove("secret")
            .unwrap()
            .as_str()
            .unwrap()
            .starts_with("sk-syn-")
    );
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["models"], json!(["gemma", "smollm2"]));
    assert_eq!(
        made["allowance"],
        json!({"requests_per_minute": 60, "tokens_per_day": 100_000, "spend_per_month": 12_500_000})
    );
    let days = (made["expires_ms"].as_u64().unwrap() - made["created_ms"].as_u64().unwrap()) / 86_400_000;
    assert!((29..=30).contains(&days));
    assert_eq!(json(folder, &["show", &id]).as_object(), Some(&*made));
    let page = done(folder, &["show", &id]);
    for part in [
        "alice",
        "gemma, smollm2",
        "100000 tokens a day",
        "12.5 spent a month",
        "for the web site",
        "good",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    create(folder);
    assert_eq!(done(folder, &["list"]).lines().count(), 3);
}

#[test]
fn what_cannot_be_done_says_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let failed = |arguments: &[&str], code: &str| {
        let output = run(folder, &[arguments, &["--json"]].concat());
        assert_eq!(
            output.status.code(),
            Some(1),
            "{arguments:?}: {}",
            text(&output.stdout)
        );
        let last = text(&output.stderr).lines().last().unwrap().to_owned();
        let failure: serde_json::Value = serde_json::from_str(&last).unwrap();
        assert_eq!(failure["error"]["code"], code, "{last}");
    };
    failed(&["list"], "no_api_keys");
    failed(&["revoke", "key-1"], "no_api_keys");
    assert!(!folder.join("api-keys").exists(), "who asks begins nothing");
    create(folder);
    failed(&["revoke", "key-1"], "unknown_api_key");
    failed(&["show", "sk-syn-abc"], "unknown_api_key");
    failed(&["create", "--caller", "two words"], "invalid_caller");
    failed(&["create", "--caller", "a", "--models", ""], "invalid_model");
    failed(
        &["create", "--caller", "a", "--tokens-per-day", "0"],
        "invalid_allowance",
    );
    failed(&["create", "--caller", "a", "--expires", "0s"], "invalid_expiry");
    for wrong in [
        &["create"][..],
        &["create", "--caller", "a", "--expires", "soon"],
        &["revoke"],
        &["what"],
    ] {
        assert_eq!(run(folder, wrong).status.code(), Some(2), "{wrong:?}");
    }
    fs::write(folder.join("api-keys/keys.json"), "{").unwrap();
    failed(&["list"], "api_keys_malformed");
    failed(&["create", "--caller", "a"], "api_keys_malformed");
    assert_eq!(
        fs::read_to_string(folder.join("api-keys/keys.json")).unwrap(),
        "{",
        "what cannot be read stays"
    );
}
