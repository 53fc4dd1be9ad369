//! A real Ollama's models, managed over its own API, and fetched from a registry that the tests start.

use std::{fs, process::Command, time::Duration};

use futures_util::StreamExt as _;
use parts::{
    model_registry::ModelRegistry,
    ollama::{self, MODEL, Start},
    ollama_image::MODEL_SHA256,
};
use synapse_core::ErrorKind;
use synapse_miner::ollama::{KeepAlive, Models, Progress, Transfer};

const KINDS: [&str; 2] = ["self-contained", "current"];
/// The model's file, in bytes.
const SIZE: u64 = 98_362_432;

async fn models(ollama: &ollama::Ollama) -> Models {
    Models::connect(&ollama.url()).await.expect("an Ollama")
}

async fn all(mut transfer: Transfer) -> Vec<Progress> {
    let mut steps = Vec::new();
    while let Some(step) = transfer.next().await {
        steps.push(step.expect("a step"));
    }
    steps
}

#[tokio::test]
async fn models_are_listed_shown_copied_loaded_and_removed() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let models = models(&ollama).await;
        let listed = models.list().await.expect("a list");
        assert_eq!(listed.len(), 1, "{kind}");
        assert_eq!(listed[0].name, MODEL);
        assert!(listed[0].size >= SIZE, "{kind}: {}", listed[0].size);

        let shown = models.show("smollm2").await.expect("details");
        assert_eq!(shown.weights(), Some(format!("sha256:{MODEL_SHA256}")), "{kind}");
        assert_eq!(shown.trained_context(), Some(8192), "{kind}");
        assert!(
            shown.can("completion") && !shown.can("embedding"),
            "{kind}: {:?}",
            shown.capabilities
        );
        assert_eq!(shown.parameter("num_thread"), Some("1"), "{kind}");

        models.copy("smollm2", "second").await.expect("a copy");
        models.remove(MODEL).await.expect("it is gone");
        let names: Vec<_> = models
            .list()
            .await
            .expect("a list")
            .into_iter()
            .map(|model| model.name)
            .collect();
        assert_eq!(names, ["second:latest"], "{kind}");

        assert_eq!(models.loaded().await.expect("a list"), []);
        models
            .load("second", KeepAlive::Forever)
            .await
            .expect("it is loaded");
        let loaded = models.loaded().await.expect("a list");
        assert_eq!(
            (loaded.len(), loaded[0].name.as_str()),
            (1, "second:latest"),
            "{kind}"
        );
        assert!(
            loaded[0].size > 0 && loaded[0].context_length > 0,
            "{kind}: {loaded:?}"
        );
        models.unload("second").await.expect("it is unloaded");
        models.unload("second").await.expect("and stays so");
        until_unloaded(&models).await;

        for error in [
            models.show("nobody").await.map(drop).expect_err("no such model"),
            models.copy("nobody", "third").await.expect_err("no such model"),
            models.remove("nobody").await.expect_err("no such model"),
            models
                .load("nobody", KeepAlive::Forever)
                .await
                .expect_err("no such model"),
            models.unload("nobody").await.expect_err("no such model"),
        ] {
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::NotFound, "model_not_found"),
                "{kind}: {error}"
            );
            assert!(
                error
                    .hint()
                    .is_some_and(|hint| hint.contains("miner models pull nobody")),
                "{error}"
            );
        }
    }
}

/// Memory is given back a moment after it is said.
async fn until_unloaded(models: &Models) {
    for _ in 0..200 {
        if models.loaded().await.expect("a list").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the model stays in memory");
}

#[tokio::test]
async fn a_model_is_pulled_with_progress() {
    for kind in KINDS {
        let registry = ModelRegistry::start();
        let ollama = Start::new(kind).without_models().start();
        let models = models(&ollama).await;
        let steps = all(models.pull_insecure(&registry.model())).await;
        assert_eq!(
            steps.last().map(|step| step.status.as_str()),
            Some("success"),
            "{kind}"
        );
        let weights = format!("sha256:{MODEL_SHA256}");
        let of_weights: Vec<_> = steps.iter().filter(|step| step.digest == weights).collect();
        assert!(of_weights.iter().all(|step| step.total == SIZE), "{kind}");
        assert!(
            of_weights
                .windows(2)
                .all(|two| two[0].completed <= two[1].completed),
            "{kind}"
        );
        assert_eq!(of_weights.last().map(|step| step.completed), Some(SIZE), "{kind}");
        let listed = models.list().await.expect("a list");
        assert_eq!(listed[0].name, registry.listed(), "{kind}");
        models
            .load(&registry.listed(), KeepAlive::Forever)
            .await
            .expect("it works");
    }
}

#[tokio::test]
async fn a_pull_goes_on_where_it_stopped() {
    for kind in KINDS {
        let registry = ModelRegistry::start();
        let ollama = Start::new(kind).without_models().start();
        let models = models(&ollama).await;
        // The registry's connection breaks, and Ollama tries again by itself.
        registry.cut_after(Some(40 << 20));
        registry.pause(Duration::from_millis(1));
        let mut pull = models.pull_insecure(&registry.model());
        let halfway = |step: &Progress| step.completed > SIZE / 2;
        while !halfway(&pull.next().await.expect("a step").expect("it goes on")) {}
        // The operator gives up halfway, which ends the transfer.
        drop(pull);
        let mut sent = registry.sent();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if registry.sent() == std::mem::replace(&mut sent, registry.sent()) {
                break;
            }
            assert!(sent < SIZE, "{kind}: the pull goes on although nobody wants it");
        }
        // And asks again.
        registry.cut_after(None);
        all(models.pull_insecure(&registry.model())).await;
        let twice = registry.sent().saturating_sub(SIZE);
        assert!(twice < SIZE / 4, "{kind}: {twice} bytes were sent twice");
        assert_eq!(models.list().await.expect("a list").len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_registry_that_lies_or_is_gone_is_an_error_that_says_so() {
    for kind in KINDS {
        let registry = ModelRegistry::start();
        let ollama = ollama::start(kind);
        let models = models(&ollama).await;
        registry.lie(true);
        // What is there already is not fetched: the model's own bytes must be others.
        models.remove(MODEL).await.expect("it is gone");
        let error = models
            .pull_insecure(&registry.model())
            .finish()
            .await
            .expect_err("a lie");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Broken, "digest_mismatch"),
            "{kind}: {error}"
        );
        assert_eq!(models.list().await.expect("a list"), [], "{kind}");

        let error = models
            .pull(&registry.model())
            .finish()
            .await
            .expect_err("no https");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, "insecure_registry"),
            "{kind}: {error}"
        );
        let other = registry.model().replace("smollm2", "nobody");
        let error = models
            .pull_insecure(&other)
            .finish()
            .await
            .expect_err("no such model");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::NotFound, "model_not_in_registry"),
            "{kind}: {error}"
        );
        let gone = registry.model();
        drop(registry);
        let error = models
            .pull_insecure(&gone)
            .finish()
            .await
            .expect_err("nobody is there");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "registry_unreachable"),
            "{kind}: {error}"
        );
    }
}

/// A file system of a few bytes, unmounted when it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(mib: u32) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(place.path())
            .status()
            .expect("mount runs");
        assert!(status.success(), "a file system is mounted, which takes root");
        Self(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_during_a_pull_is_one_line_and_the_rest_goes_on() {
    for kind in KINDS {
        let registry = ModelRegistry::start();
        // Room for the model once, and for half of another one.
        let disk = Small::mount(150);
        let ollama = Start::new(kind).models(disk.0.path()).start();
        let models = models(&ollama).await;
        models
            .load(MODEL, KeepAlive::Forever)
            .await
            .expect("it is loaded");
        let other = registry.other_bytes();
        let error = models.pull_insecure(&other).finish().await.expect_err("no room");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Unavailable, "disk_full"),
            "{kind}: {error}"
        );
        let line = error.to_string();
        assert!(
            !line.contains('\n') && line.contains("make room"),
            "{kind}: {line}"
        );

        // What is there goes on serving.
        assert_eq!(models.list().await.expect("a list")[0].name, MODEL, "{kind}");
        models
            .load(MODEL, KeepAlive::Forever)
            .await
            .expect("it still works");
    }
}

#[tokio::test]
async fn a_model_is_made_of_a_gguf_file() {
    // The current one asks llama-quantize, which is not among its parts here.
    let ollama = Start::new("self-contained").without_models().start();
    let models = models(&ollama).await;
    let steps = all(models.create("mine", parts::model())).await;
    let of = |status: &str| {
        steps
            .iter()
            .filter(|step| step.status == status)
            .map(|step| step.completed)
            .max()
    };
    assert_eq!(of("computing digest"), Some(SIZE));
    assert_eq!(of("uploading"), Some(SIZE));
    assert_eq!(steps.last().map(|step| step.status.as_str()), Some("success"));
    let shown = models.show("mine").await.expect("details");
    assert_eq!(shown.weights(), Some(format!("sha256:{MODEL_SHA256}")));

    // What Ollama has already is not sent again.
    let steps = all(models.create("again", parts::model())).await;
    assert!(steps.iter().all(|step| step.status != "uploading"));
}

#[tokio::test]
async fn a_file_that_is_no_model_is_refused_before_it_is_one() {
    let ollama = Start::new("self-contained").without_models().start();
    let models = models(&ollama).await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = directory.path().join("text.gguf");
    fs::write(&text, "no model at all").expect("a file");
    let cut = directory.path().join("cut.gguf");
    let whole = fs::read(parts::model()).expect("the model");
    fs::write(&cut, &whole[..30 << 20]).expect("a file");
    for (file, kind, code) in [
        (text, ErrorKind::Invalid, "not_gguf"),
        (
            directory.path().join("missing.gguf"),
            ErrorKind::Invalid,
            "file_unreadable",
        ),
        (cut.clone(), ErrorKind::Unavailable, "model_broken"),
    ] {
        let error = models.create("mine", &file).finish().await.expect_err("no model");
        assert_eq!((error.kind(), error.code()), (kind, code), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    let error = models.create("mine", &cut).finish().await.expect_err("no model");
    assert!(error.message().contains("is cut short"), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("copy the GGUF file again")),
        "{error}"
    );
    assert_eq!(models.list().await.expect("a list"), []);
}

#[tokio::test]
async fn a_name_that_is_none_is_an_error_that_says_how_names_are() {
    for kind in KINDS {
        let ollama = ollama::start(kind);
        let models = models(&ollama).await;
        for name in ["bad name!", "../x", "a:b:c"] {
            let errors = [
                models.show(name).await.map(drop),
                models.remove(name).await,
                models.copy("smollm2", name).await,
                models.pull(name).finish().await.map(drop),
                models.create(name, parts::model()).finish().await.map(drop),
            ];
            for (of, error) in errors.into_iter().enumerate() {
                let error = error.expect_err(name);
                assert_eq!(
                    (error.kind(), error.code()),
                    (ErrorKind::Invalid, "invalid_model_name"),
                    "{kind} {of}: {error:?}"
                );
                assert!(
                    error.hint().is_some_and(|hint| hint.contains("smollm2:135m")),
                    "{error}"
                );
            }
        }
        let names = models.list().await.expect("a list");
        assert_eq!(names.len(), 1, "{kind}");
    }
}
