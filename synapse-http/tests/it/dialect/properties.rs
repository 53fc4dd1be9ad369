//! What holds for requests of any shape.

use proptest::prelude::*;
use serde_json::{Value, json};
use synapse_core::{Bytes, Content, Dialect, Edits, Framing, Message, Part, Prompt, Request, Task, Wire};
use synapse_http::OpenAi;

use super::wire;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn fields() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    prop::collection::btree_map("x_[a-z\"é]{1,6}", json_value(), 0..4)
        .prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn message()(role in "[a-z]{1,8}", content in prop_oneof![
        Just(Content::None),
        "\\PC{0,20}".prop_map(Content::Text),
        prop::collection::vec(prop_oneof![
            "\\PC{0,8}".prop_map(Part::Text),
            Just(Part::Other(json!({"type":"image_url","image_url":{"url":"é"}}))),
        ], 0..3).prop_map(Content::Parts),
    ], other in fields()) -> Message {
        let mut message = Message::with_content(role, content);
        message.other = other;
        message
    }
}

prop_compose! {
    fn request()(
        model in "\\PC{0,8}",
        messages in prop::collection::vec(message(), 1..4),
        other in fields(),
        tools in prop::option::of(json_value()),
        max_tokens in prop::option::of(1_u32..),
        temperature in prop::option::of(0.0_f32..=2.0),
        top_p in prop::option::of(0.001_f32..=1.0),
        penalty in prop::option::of(-2.0_f32..=2.0),
        seed in prop::option::of(any::<i64>()),
        stop in prop::collection::vec("\\PC{1,5}", 0..4),
        n in 1_u32..=128,
        top in prop::option::of(0_u8..=20),
        (logprobs, stream, usage) in any::<(bool, bool, bool)>(),
    ) -> Request {
        let mut request = Request::new(model, Prompt::Messages(messages)).with_params(|params| {
            params.max_tokens = max_tokens;
            params.temperature = temperature;
            params.top_p = top_p;
            params.frequency_penalty = penalty;
            params.presence_penalty = penalty;
            params.seed = seed;
            params.stop = stop;
            params.n = n;
            params.logprobs = logprobs;
            params.top_logprobs = top.filter(|_| logprobs);
            params.stream = stream;
            params.include_usage = stream && usage;
        });
        request.other = other;
        request.other.extend(tools.map(|tools| ("tools".to_owned(), tools)));
        request
    }
}

fn read(wire: &Wire) -> Request {
    let view = OpenAi.view(&Task::CHAT, wire).unwrap();
    OpenAi.request(&Task::CHAT, wire, &view).unwrap()
}

proptest! {
    #[test]
    fn a_request_is_written_and_read_without_loss(request in request()) {
        let wire = OpenAi.render(&Task::CHAT, &request).unwrap();
        prop_assert_eq!(read(&wire), request);
    }

    #[test]
    fn an_edit_is_seen_in_the_view_and_touches_nothing_else(
        request in request(),
        model in prop::option::of("\\PC{1,8}"),
        max_tokens in prop::option::of(1_u32..),
        top in prop::option::of(0_u8..=20),
        pretty in any::<bool>(),
    ) {
        let rendered = OpenAi.render(&Task::CHAT, &request).unwrap();
        let rendered = match pretty {
            false => rendered,
            true => {
                let value: Value = serde_json::from_slice(rendered.body()).unwrap();
                rendered.with_body(serde_json::to_vec_pretty(&value).unwrap().into())
            }
        };
        let view = OpenAi.view(&Task::CHAT, &rendered).unwrap();
        let mut edits = Edits::default();
        edits.model = model;
        edits.max_tokens = max_tokens;
        edits.top_logprobs = top;
        let spliced = rendered.with_body(OpenAi.splice(&Task::CHAT, &rendered, &view, &edits).unwrap());

        let mut expect = request;
        if let Some(model) = edits.model { expect.model = model; }
        if max_tokens.is_some() { expect.params.max_tokens = max_tokens; }
        if top.is_some() {
            expect.params.logprobs = true;
            expect.params.top_logprobs = top;
        }
        prop_assert_eq!(read(&spliced), expect);

        // Every field that was not edited has the same bytes as before.
        let after = OpenAi.view(&Task::CHAT, &spliced).unwrap();
        let edited = ["model", "max_tokens", "logprobs", "top_logprobs"];
        for name in ["messages", "tools", "temperature", "top_p", "seed", "stop", "n", "stream"] {
            let bytes = |wire: &Wire, view: &synapse_core::View| view.field(name).map(|range| wire.body().slice(range));
            prop_assert!(!edited.contains(&name));
            prop_assert_eq!(bytes(&rendered, &view), bytes(&spliced, &after));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_refused_not_panicked_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for task in [Task::CHAT, Task::TEXT_COMPLETION, Task::EMBEDDINGS] {
            prop_assert!(OpenAi.view(&task, &wire(&task, bytes.clone())).is_err());
        }
        for framing in [Framing::Sse, Framing::Lines, Framing::Whole] {
            let _ = OpenAi.event(&bytes, framing);
            let _ = OpenAi.deltas(&bytes, framing);
        }
    }

    #[test]
    fn a_mangled_request_never_panics(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = OpenAi.render(&Task::CHAT, &request).unwrap().body().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let wire = wire(&Task::CHAT, body);
        if let Ok(view) = OpenAi.view(&Task::CHAT, &wire) {
            let _ = OpenAi.request(&Task::CHAT, &wire, &view);
        }
    }
}
