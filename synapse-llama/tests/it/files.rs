//! Bad files: each is a clear error that names the file, and never a crash.

use std::fs;
use std::path::{Path, PathBuf};

use synapse_llama::{ChatTemplate, LlamaError, LlamaModule, LlamaWeights};

use crate::reader::Writer;
use crate::support::model_path;

struct Case {
    name: &'static str,
    write: fn(&Path),
    says: &'static str,
}

fn half(of: fn(usize) -> usize) -> Vec<u8> {
    let whole = fs::read(model_path()).expect("the model is read");
    whole[..of(whole.len())].to_vec()
}

fn header(version: u32, tensors: u64, pairs: u64) -> Vec<u8> {
    let mut file = Writer(b"GGUF".to_vec());
    file.number(version)
        .number(tensors)
        .number(pairs)
        .0
        .resize(4096, 0);
    file.0
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).expect("a file is written");
}

const CASES: &[Case] = &[
    Case {
        name: "missing",
        write: |_| {},
        says: "there is no such file",
    },
    Case {
        name: "directory",
        write: |path| fs::create_dir(path).expect("a directory"),
        says: "not a regular file",
    },
    Case {
        name: "empty",
        write: |path| write(path, ""),
        says: "it is empty",
    },
    Case {
        name: "text",
        write: |path| write(path, "Hello, this is no model.\n"),
        says: "not a GGUF file (it starts with Hell)",
    },
    Case {
        name: "three_bytes",
        write: |path| write(path, "GGU"),
        says: "not a GGUF file",
    },
    Case {
        name: "html",
        write: |path| write(path, "<!doctype html><html>404"),
        says: "not a GGUF file",
    },
    Case {
        name: "only_magic",
        write: |path| write(path, "GGUF"),
        says: "it is cut short: the version needs bytes up to 8",
    },
    Case {
        name: "version_1",
        write: |path| write(path, header(1, 0, 0)),
        says: "GGUF version is 1",
    },
    Case {
        name: "version_9",
        write: |path| write(path, header(9, 0, 0)),
        says: "GGUF version is 9",
    },
    Case {
        name: "big_endian",
        write: |path| write(path, header(3_u32.swap_bytes(), 0, 0)),
        says: "big-endian",
    },
    Case {
        name: "absurd_tensors",
        write: |path| write(path, header(3, u64::MAX, 1)),
        says: "18446744073709551615 tensors",
    },
    Case {
        name: "absurd_pairs",
        write: |path| write(path, header(3, 1, 1 << 60)),
        says: "metadata pairs",
    },
    Case {
        name: "absurd_key",
        write: |path| write(path, [header(3, 1, 1)[..24].to_vec(), vec![0xFF; 64]].concat()),
        says: "it is cut short: metadata key 0",
    },
    Case {
        name: "cut_in_half",
        write: |path| write(path, half(|length| length / 2)),
        says: "it is cut short: tensor ",
    },
    Case {
        name: "cut_by_one",
        write: |path| write(path, half(|length| length - 1)),
        says: "it is cut short: tensor ",
    },
    Case {
        name: "cut_in_metadata",
        write: |path| write(path, half(|_| 500_000)),
        says: "it is cut short: the value of metadata key",
    },
    Case {
        name: "cut_in_tensors",
        write: |path| write(path, half(|_| 1_790_000)),
        says: "it is cut short: ",
    },
];

#[tokio::test]
async fn bad_files_are_clear_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    for case in CASES {
        let path: PathBuf = folder.path().join(case.name).with_extension("gguf");
        (case.write)(&path);
        let error = LlamaWeights::load(&path).expect_err(case.name);
        let text = error.to_string();
        assert!(matches!(error, LlamaError::Gguf(_)), "{}: {error:?}", case.name);
        assert!(
            text.contains(case.says),
            "{}: {text} lacks {:?}",
            case.name,
            case.says
        );
        assert!(
            text.contains(&path.display().to_string()) && text.contains("; "),
            "{}: {text}",
            case.name
        );
        let error = LlamaModule::builder(&path).load().await.expect_err(case.name);
        assert_eq!(error.code(), "model_file_unusable", "{}", case.name);
    }
}

/// The real model with one metadata key renamed, byte for byte.
fn renamed(key: &str, to: &str, folder: &Path) -> PathBuf {
    assert_eq!(key.len(), to.len());
    let mut bytes = fs::read(model_path()).expect("the model is read");
    let at = bytes
        .windows(key.len())
        .position(|window| window == key.as_bytes())
        .expect("the key is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    let path = folder.join("renamed.gguf");
    write(&path, bytes);
    path
}

#[tokio::test]
async fn a_model_without_a_template_completes_and_does_not_chat() {
    use synapse_core::{InferenceModule, Input, Message, Prompt, Request, Task};
    let folder = tempfile::tempdir().expect("a folder");
    let path = renamed(
        "tokenizer.chat_template",
        "tokenizer.chat_templete",
        folder.path(),
    );
    let module = LlamaModule::builder(&path)
        .model_id("bare")
        .context_length(128)
        .parallel(1)
        .load()
        .await
        .expect("it loads");
    let template = ChatTemplate::of(&module.weights().expect("it is loaded"));
    assert!(
        matches!(template, Err(LlamaError::Unsupported(_))),
        "{template:?}"
    );
    assert!(!module.get_capabilities().tasks.contains(&Task::CHAT));
    let error = module
        .run_inference(Input::chat("bare", [Message::user("Hi")]))
        .await
        .expect_err("it can't chat");
    assert_eq!(error.code(), "task_unsupported");
    let request = Request::new("bare", Prompt::Texts(vec!["One, two,".to_owned()]))
        .with_params(|params| params.max_tokens = Some(3));
    module
        .run_inference(Input::from_request(Task::TEXT_COMPLETION, request))
        .await
        .expect("it completes");
}

#[test]
fn a_model_that_only_llama_cpp_can_refuse_is_an_error_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = renamed(
        "llama.attention.layer_norm_rms_epsilon",
        "llama.attention.layer_norm_rms_epsilom",
        folder.path(),
    );
    let error = LlamaWeights::load(&path).expect_err("llama.cpp misses the key");
    assert!(matches!(error, LlamaError::Load { .. }), "{error:?}");
}
