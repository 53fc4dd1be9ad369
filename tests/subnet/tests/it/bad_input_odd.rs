//! Bad input of other kinds: forged addresses, texts that are none, and frames that do not fit.

use serde_json::{Value, json};
use synapse_core::Micros;

use crate::bad_input_sent::{Ask, CHAT, Door, Holder, Then, bytes, chat, field, headed, text};

/// What the first issue's table does not have.
pub(crate) fn all() -> impl Iterator<Item = Ask> {
    [addresses(), texts(), framing(), ollamas()].into_iter().flatten()
}

fn addresses() -> Vec<Ask> {
    const XFF: &str = "x-forwarded-for";
    let hops = |last: &str| {
        let mut hops = vec!["127.0.0.9"; 1_000];
        hops[999] = last;
        hops.join(",")
    };
    let strangers = (0..1_000)
        .map(|at| format!("203.0.113.{}", at % 250))
        .collect::<Vec<_>>()
        .join(", ");
    let plain = |name, lines: &[(&str, &str)]| headed(name, lines).seen_from("127.0.0.1");
    let proxied = |name, line: &str| headed(name, &[(XFF, line)]).at(Door::BehindProxies);
    vec![
        plain("X-Forwarded-For of a stranger", &[(XFF, "203.0.113.9")]),
        plain(
            "X-Forwarded-For of a stranger, twice",
            &[(XFF, "203.0.113.9"), (XFF, "192.0.2.1")],
        ),
        plain("X-Forwarded-For of a stranger, 1,000 hops", &[(XFF, &strangers)]),
        plain("a stranger who says he is the proxy", &[(XFF, "192.0.2.1")]),
        plain(
            "other headers of a stranger",
            &[
                ("forwarded", "for=203.0.113.9"),
                ("x-real-ip", "203.0.113.9"),
                ("true-client-ip", "203.0.113.9"),
            ],
        ),
        proxied("X-Forwarded-For of a proxy", "203.0.113.9").seen_from("203.0.113.9"),
        proxied("garbage of a proxy", "unknown").seen_from("127.0.0.1"),
        proxied("garbage before a proxy's hop", "x\"(), 203.0.113.9").seen_from("203.0.113.9"),
        proxied("garbage behind a proxy's hop", "203.0.113.9, x").seen_from("127.0.0.1"),
        proxied("commas of a proxy", ",,,,").seen_from("127.0.0.1"),
        proxied(
            "1,000 hops that all are proxies, but the first who asked",
            &hops("127.0.0.9"),
        )
        .seen_from("127.0.0.9"),
        proxied("1,000 hops, the last of them a client", &hops("203.0.113.9")).seen_from("203.0.113.9"),
        proxied("1,000 hops, none of them a proxy", &strangers).seen_from("203.0.113.249"),
        proxied("an address with a zone", "fe80::1%eth0").seen_from("127.0.0.1"),
        proxied("an address of IPv6, which is its network", "2001:db8:1:2:3:4:5:6")
            .seen_from("2001:db8:1:2::"),
        proxied("an address of IPv4 within IPv6", "::ffff:203.0.113.9").seen_from("203.0.113.9"),
        proxied("an address with a port that there is not", "203.0.113.9:99999").seen_from("127.0.0.1"),
        headed(
            "two lines of a proxy",
            &[(XFF, "198.51.100.1"), (XFF, "203.0.113.9")],
        )
        .at(Door::BehindProxies)
        .seen_from("203.0.113.9"),
        proxied("20 KB that are no hop", &"x".repeat(20_000)).seen_from("127.0.0.1"),
    ]
}

fn texts() -> Vec<Ask> {
    let said = |name, content: &str| {
        let body = format!(
            r#"{{"model":"good","max_tokens":1,"messages":[{{"role":"user","content":"{content}"}}]}}"#
        );
        text(name, CHAT, body)
    };
    let of_model = |name, model: &str| {
        let body =
            format!(r#"{{"model":"{model}","max_tokens":1,"messages":[{{"role":"user","content":"hi"}}]}}"#);
        text(name, CHAT, body)
    };
    vec![
        text(
            "a text that is no UTF-8",
            CHAT,
            b"{\"model\":\"good\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\x28\"}]}".to_vec(),
        ),
        text("a mark of byte order", CHAT, b"\xef\xbb\xbf{\"model\":\"good\"}".to_vec()),
        text("UTF-16", CHAT, b"{\0\"\0m\0\"\0:\0\"\0g\0\"\0}\0".to_vec()),
        said("a NUL in a text", "a\0b"),
        said("an escaped NUL in a text", r"a\u0000b"),
        said("half a surrogate pair in a text", r"\ud83d"),
        said("surrogates in the wrong order", r"\ude00\ud83d"),
        said("an escape that there is not", r"\x41"),
        of_model("half a surrogate pair in the model's name", r"good\ud83d"),
        of_model("an escaped NUL in the model's name", r"good\u0000"),
        of_model("a line feed in the model's name", r"good\n"),
        of_model("an escaped name, which is the model's", r"g\u006fod"),
        field("a field of limits twice", r#""max_tokens":1,"max_tokens":100"#),
        field("a field of limits twice, once null", r#""max_tokens":null,"max_tokens":100"#),
        field("a field of limits twice, once escaped", r#""max_tokens":1,"max\u005ftokens":100"#),
        field("a field of limits in another case", r#""Max_Tokens":1000"#),
        field("n in another case", r#""N":100"#),
        text("a comment", CHAT, "{/* */\"model\":\"good\"}"),
        text("a comma too many", CHAT, "{\"model\":\"good\",}"),
        headed("a deadline that is over", &[("x-synapse-deadline-ms", "0")]),
        headed("a deadline that is no number", &[("x-synapse-deadline-ms", "1e3")]),
        headed("a deadline of a year", &[("x-synapse-deadline-ms", "31536000000")]),
    ]
}

fn framing() -> Vec<Ask> {
    let body = chat(&json!({"max_tokens": 1}));
    let length = |length: usize| format!("content-length: {length}");
    let whole = length(body.len());
    let chunked = "transfer-encoding: chunked";
    vec![
        bytes("a length that is right", &whole, &body, Then::Waits),
        bytes(
            "a length that is too short",
            &length(body.len() - 5),
            &body,
            Then::Waits,
        ),
        bytes(
            "a length that is too long, and the end",
            &length(body.len() + 5),
            &body,
            Then::Ends,
        ),
        bytes(
            "a length that is too long, and a pause",
            &length(body.len() + 5),
            &body,
            Then::Waits,
        )
        .at(Door::Hasty),
        bytes(
            "a length of u64::MAX",
            "content-length: 18446744073709551615",
            &body,
            Then::Waits,
        ),
        bytes(
            "a length of 2^64",
            "content-length: 18446744073709551616",
            &body,
            Then::Waits,
        ),
        bytes("a length below 0", "content-length: -1", &body, Then::Waits),
        bytes("no length", "x: y", &body, Then::Waits),
        bytes("half a body, and a pause", &whole, &body[..20], Then::Waits).at(Door::Hasty),
        bytes(
            "a chunk whose length is none",
            chunked,
            b"xyz\r\n{}\r\n0\r\n\r\n",
            Then::Waits,
        ),
        bytes(
            "a chunk that is longer than it says",
            chunked,
            b"1\r\n{}{}\r\n0\r\n\r\n",
            Then::Waits,
        ),
        bytes(
            "a chunk of 2^64 bytes",
            chunked,
            b"ffffffffffffffffff\r\n{}",
            Then::Waits,
        ),
        bytes(
            "chunks that end in the middle",
            chunked,
            b"2\r\n{}\r\n",
            Then::Ends,
        ),
        bytes(
            "an encoding of transfer that there is not",
            "transfer-encoding: gzip",
            &body,
            Then::Waits,
        ),
        bytes(
            "200 headers",
            &format!("{}{whole}", "x-a: b\r\n".repeat(200)),
            &body,
            Then::Waits,
        ),
    ]
}

fn ollamas() -> Vec<Ask> {
    let ask = |name, options: Value| {
        let said = json!([{"role": "user", "content": "hi"}]);
        let body = json!({"model": "good", "stream": false, "messages": said, "options": options});
        text(name, "/api/chat", body.to_string())
    };
    vec![
        ask("num_predict without an end", json!({"num_predict": -1})),
        ask("num_predict beyond the budget", json!({"num_predict": 2_000_000})),
        ask("num_predict beyond the balance", json!({"num_predict": 100})).by(Holder::Poor(Micros(1_000))),
        ask("num_predict as a text", json!({"num_predict": "many"})),
        ask("num_predict of 1e30", json!({"num_predict": 1e30})),
        text("a model that is to be pulled", "/api/pull", r#"{"model":"good"}"#),
    ]
}
