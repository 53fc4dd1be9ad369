//! What must hold of any body and any reply.

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};
use synapse_core::{Bytes, Dialect as _, ErrorKind, Framing, Input, Task, Wire};
use synapse_http::{Ollama, OpenAi};

use super::{in_openai, input};

/// Text like a request's, mostly broken.
fn bodies() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "1",
        "-1.5e3",
        "\"model\"",
        "\"messages\"",
        "\"role\"",
        "\"user\"",
        "\"content\"",
        "\"options\"",
        "\"num_predict\"",
        "\"images\"",
        "\"tool_calls\"",
        "\"function\"",
        "\"arguments\"",
        "\"prompt\"",
        "\"input\"",
        "\"stream\"",
        "\"done\"",
        "\"message\"",
        "é",
        "\u{0}",
        " ",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 1..12).prop_map(String::from_iter)
}

/// A message as both formats can say it, in Ollama's words.
fn messages() -> impl Strategy<Value = Value> {
    let said = (text(), any::<bool>(), text()).prop_map(|(content, thinks, thinking)| {
        let mut message = json!({"role": "user", "content": content});
        if thinks {
            message["thinking"] = thinking.into();
        }
        message
    });
    let called = (text(), text(), any::<i32>()).prop_map(|(name, key, value)| {
        json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "c", "function": {"index": 0, "name": name, "arguments": {key: value}}},
        ]})
    });
    prop::collection::vec(prop_oneof![said, called], 1..4).prop_map(Value::Array)
}

fn requests() -> impl Strategy<Value = Value> {
    (
        messages(),
        any::<bool>(),
        prop::option::of(1..u32::MAX),
        prop::option::of(any::<i64>()),
        prop::option::of(0_u32..1000),
        prop::collection::vec(text(), 0..3),
        prop::option::of(prop::sample::select(vec!["low", "medium", "high", "max"])),
    )
        .prop_map(|(messages, stream, cap, seed, top_k, stop, think)| {
            let mut body = json!({"model": "m", "messages": messages, "stream": stream});
            let mut options = json!({});
            for (name, value) in [
                ("num_predict", json!(cap)),
                ("seed", json!(seed)),
                ("top_k", json!(top_k)),
            ] {
                if !value.is_null() {
                    options[name] = value;
                }
            }
            if !stop.is_empty() {
                options["stop"] = json!(stop);
            }
            if options != json!({}) {
                body["options"] = options;
            }
            if let Some(think) = think {
                body["think"] = think.into();
            }
            body
        })
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in bodies(), path in 0..4_usize) {
        let path = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings"][path];
        match input(path, body.clone()) {
            Err(error) => prop_assert!(error.kind().is_callers_fault(), "{error:?}"),
            Ok(mut input) => {
                if let Err(error) = input.wire_for(OpenAi::DIALECT) {
                    prop_assert!(error.kind().is_callers_fault(), "{error:?}");
                }
                input.set_model("other").unwrap();
                let sent = input.wire_for(Ollama::DIALECT).unwrap();
                let again = super::input(path, sent.body().clone()).unwrap();
                prop_assert_eq!(again.model().unwrap(), "other");
            }
        }
    }

    #[test]
    fn no_reply_makes_it_panic(body in bodies(), whole in any::<bool>()) {
        let framing = if whole { Framing::Whole } else { Framing::Lines };
        let _ = Ollama.event(&Bytes::from(body.clone()), framing);
        if let Err(error) = Ollama.deltas(body.as_bytes(), framing) {
            prop_assert_eq!(error.kind(), ErrorKind::Broken);
        }
    }

    #[test]
    fn what_both_say_comes_back_as_it_was(body in requests()) {
        let openais = in_openai("/api/chat", &body).unwrap();
        let json = HeaderValue::from_static("application/json");
        let wire = Wire::new(OpenAi::DIALECT, "/v1/chat/completions", json, openais.to_string());
        let back = Input::from_wire(Task::CHAT, wire).wire_for(Ollama::DIALECT).unwrap();
        let back: Value = serde_json::from_slice(back.body()).unwrap();
        prop_assert_eq!(back, body);
    }

    #[test]
    fn a_cap_lands_wherever_options_are(body in requests(), cap in 1..u32::MAX) {
        let mut edited = input("/api/chat", body.to_string()).unwrap();
        edited.set_max_tokens(cap).unwrap();
        let sent = edited.wire_for(Ollama::DIALECT).unwrap();
        let mut wanted = body;
        wanted["options"]["num_predict"] = cap.into();
        prop_assert_eq!(serde_json::from_slice::<Value>(sent.body()).unwrap(), wanted);
    }
}
