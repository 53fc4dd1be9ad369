//! Bad input that limits, prices and keys have to do with.

use serde_json::{Value, json};
use synapse_core::Micros;

use crate::bad_input_sent::{Ask, Holder, MEGABYTE, Then, bytes, field, headed, showing, text, with};

/// What the first issue's table does not have.
pub(crate) fn all() -> impl Iterator<Item = Ask> {
    [large(), numbers(), money(), keys()].into_iter().flatten()
}

/// A tool whose schema has so many bytes.
pub(crate) fn tools(length: usize) -> Value {
    let mut properties = serde_json::Map::new();
    for at in 0..length / 64 {
        let described = json!({"type": "string", "description": "what it is for"});
        properties.insert(format!("field_{at:07}"), described);
    }
    let schema = json!({"type": "object", "properties": properties});
    json!([{"type": "function", "function": {"name": "f", "parameters": schema}}])
}

pub(crate) fn messages(number: usize) -> Value {
    (0..number)
        .map(|at| json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": "hi"}))
        .collect()
}

fn large() -> Vec<Ask> {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    vec![
        with(
            "a tool schema of 1 MB",
            &json!({"tools": tools(MEGABYTE), "max_tokens": 1}),
        ),
        with(
            "a tool schema of 1 MB, beyond the balance",
            &json!({"tools": tools(MEGABYTE), "max_tokens": 1}),
        )
        .by(Holder::Poor(Micros(1_000))),
        with(
            "a tool schema of 1 MB, beyond the budget of tokens",
            &json!({"tools": tools(MEGABYTE), "max_tokens": 1}),
        )
        .by(Holder::Tokens(1_000)),
        field(
            "a tool schema of 1 MB that is 100,000 levels deep",
            &format!(
                r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{}}}}}]"#,
                deep(100_000)
            ),
        ),
        with(
            "10,000 messages, which the model takes",
            &json!({"model": "vast", "messages": messages(10_000), "max_tokens": 1}),
        ),
        with(
            "10,000 messages, which the model does not take",
            &json!({"messages": messages(10_000), "max_tokens": 1}),
        ),
        with(
            "10,000 messages, beyond the balance",
            &json!({"messages": messages(10_000), "max_tokens": 1}),
        )
        .by(Holder::Poor(Micros(1_000))),
        with("10,000 messages, the last of them empty", &{
            let mut all = messages(10_000);
            all[9_999] = json!({});
            json!({"messages": all})
        }),
        with(
            "a model whose name has 1 MB",
            &json!({"model": "m".repeat(MEGABYTE)}),
        ),
        with(
            "a role of 1 MB",
            &json!({"messages": [{"role": "r".repeat(MEGABYTE), "content": "hi"}], "max_tokens": 1}),
        ),
        with("100,000 stops", &json!({"stop": vec!["x"; 100_000]})),
        field(
            "100,000 fields",
            &(0..100_000)
                .map(|at| format!(r#""f{at}":0"#))
                .collect::<Vec<_>>()
                .join(","),
        ),
    ]
}

fn numbers() -> Vec<Ask> {
    vec![
        field("max_tokens of u64::MAX", r#""max_tokens":18446744073709551615"#),
        field(
            "max_tokens of more digits than a number has",
            r#""max_tokens":99999999999999999999999999"#,
        ),
        with("max_tokens of u32::MAX", &json!({"max_tokens": u32::MAX})),
        field("max_tokens of i64::MIN", r#""max_tokens":-9223372036854775808"#),
        field("max_tokens of -0", r#""max_tokens":-0"#),
        field("max_tokens of 1.0", r#""max_tokens":1.0"#),
        field("max_tokens of 1e2", r#""max_tokens":1e2"#),
        with("max_tokens that are true", &json!({"max_tokens": true})),
        with("max_tokens that are a list", &json!({"max_tokens": [1]})),
        with(
            "max_tokens and max_completion_tokens that differ",
            &json!({"max_tokens": 1, "max_completion_tokens": 2}),
        ),
        with(
            "max_completion_tokens beyond the budget",
            &json!({"max_completion_tokens": u32::MAX}),
        ),
        with("n of 129", &json!({"n": 129})),
        field("n of u64::MAX", r#""n":18446744073709551615"#),
        with(
            "n and max_tokens that are too much together",
            &json!({"n": 128, "max_tokens": 16_000}),
        ),
        with(
            "best_of in a chat, of which it is no field",
            &json!({"best_of": 1_000_000, "max_tokens": 1}),
        ),
        text(
            "best_of of a million",
            "/v1/completions",
            json!({"model": "good", "prompt": "hi", "best_of": 1_000_000, "max_tokens": 1}).to_string(),
        ),
        text(
            "best_of below 0",
            "/v1/completions",
            json!({"model": "good", "prompt": "hi", "best_of": -1, "max_tokens": 1}).to_string(),
        ),
        text(
            "10,000 prompts whose replies are too many tokens together",
            "/v1/completions",
            json!({"model": "good", "prompt": vec!["hi"; 10_000], "max_tokens": 200}).to_string(),
        ),
        text(
            "10,000 prompts that cost too much together",
            "/v1/completions",
            json!({"model": "good", "prompt": vec!["hi"; 10_000], "n": 90, "max_tokens": 1}).to_string(),
        )
        .by(Holder::Tokens(u64::from(u32::MAX) * 2)),
    ]
}

fn money() -> Vec<Ask> {
    let hundred = |name| with(name, &json!({"max_tokens": 100}));
    vec![
        hundred("max_tokens beyond the balance").by(Holder::Poor(Micros(1_000))),
        with("no max_tokens, and the default beyond the balance", &json!({})).by(Holder::Poor(Micros(1_000))),
        with(
            "max_tokens that no balance holds",
            &json!({"max_tokens": u32::MAX}),
        )
        .by(Holder::Tokens(u64::from(u32::MAX) * 2)),
        hundred("max_tokens beyond what the key may spend a day").by(Holder::SpendADay(Micros(1_000))),
        hundred("max_tokens beyond what the key may spend a month").by(Holder::SpendAMonth(Micros(1_000))),
        with(
            "max_tokens beyond what is left of what the key may spend",
            &json!({"max_tokens": 6}),
        )
        .by(Holder::SpendADay(Micros(100)))
        .after(3),
        with(
            "max_tokens beyond what is left of the balance",
            &json!({"max_tokens": 6}),
        )
        .by(Holder::Poor(Micros(100)))
        .after(3),
        hundred("max_tokens beyond the budget of tokens").by(Holder::Tokens(100)),
        with(
            "max_tokens beyond what is left of the budget of tokens",
            &json!({"max_tokens": 30}),
        )
        .by(Holder::Tokens(60))
        .after(3),
        with(
            "a model that has a price, and that nobody serves",
            &json!({"model": "ghost", "max_tokens": 1}),
        ),
        with(
            "a model that has no price",
            &json!({"model": "unsold", "max_tokens": 1}),
        ),
        with(
            "a model with another tag",
            &json!({"model": "good:8b", "max_tokens": 1}),
        ),
    ]
}

fn keys() -> Vec<Ask> {
    let unknown = format!("Bearer sk-syn-{}", "0a".repeat(32));
    let upper = format!("Bearer sk-syn-{}", "0A".repeat(32));
    let long = format!("{unknown}0");
    vec![
        showing("no key", &[]),
        showing("an empty key", &["Bearer "]),
        showing("a key of nobody's", &[&unknown]),
        showing("a key of another gateway's form", &["Bearer sk-proj-abcdef"]),
        showing("a key in capitals", &[&upper]),
        showing("a key with a digit more", &[&long]),
        showing("a name and a password", &["Basic YTpi"]),
        showing("two keys in two lines", &[&unknown, &unknown]),
        showing("two keys in one line", &[&format!("{unknown}, {unknown}")]),
        bytes(
            "a key of 1 MB",
            &format!(
                "authorization: Bearer sk-syn-{}\r\ncontent-length: 0",
                "a".repeat(MEGABYTE)
            ),
            b"",
            Then::Waits,
        )
        .by(Holder::Showing(Vec::new())),
        bytes(
            "a key of 20 KB, which is a header that is taken",
            &format!(
                "authorization: Bearer sk-syn-{}\r\ncontent-length: 0",
                "a".repeat(20_000)
            ),
            b"",
            Then::Waits,
        )
        .by(Holder::Showing(Vec::new())),
        bytes(
            "a key that is no text",
            "authorization: Bearer sk-syn-\u{80}\u{ff}\r\ncontent-length: 0",
            b"",
            Then::Waits,
        )
        .by(Holder::Showing(Vec::new())),
        headed("a key that expired", &[]).by(Holder::Expired),
        headed("a key that was revoked", &[]).by(Holder::Revoked),
        headed("a key for another model", &[]).by(Holder::OfModel("vast")),
        with(
            "a key for another model, whose name has 1 MB",
            &json!({"model": "m".repeat(MEGABYTE)}),
        )
        .by(Holder::OfModel("vast")),
        showing("no key, and a body that is none", &[]).with_body(b"{"),
    ]
}
