//! The framer: every split of a stream gives the same events.

use proptest::prelude::*;
use synapse_core::{Bytes, Framing};
use synapse_http::sse::{Framer, Limits, Rest};

/// The events of `reads`, and what was left; an error by its code.
fn frame(framing: Framing, reads: impl IntoIterator<Item = Bytes>) -> (Vec<Bytes>, Rest) {
    let mut framer = Framer::new(framing, Limits::default());
    let mut events = Vec::new();
    for read in reads {
        framer.push(read);
        while let Some(event) = framer.next() {
            events.push(event.unwrap());
        }
    }
    (events, framer.finish())
}

fn whole(stream: &'static str) -> (Vec<Bytes>, Rest) {
    frame(Framing::Sse, [Bytes::from(stream)])
}

#[test]
fn blocks_end_at_a_blank_line_of_any_kind() {
    let check = |stream: &'static str, events: &[&str], rest: Rest| {
        assert_eq!(
            whole(stream),
            (
                events.iter().map(|e| Bytes::from(e.to_string())).collect(),
                rest.clone()
            ),
            "{stream:?}"
        );
        let bytes = stream.bytes().map(|byte| Bytes::from(vec![byte]));
        assert_eq!(frame(Framing::Sse, bytes), whole(stream), "{stream:?} by bytes");
    };
    check(
        "data: 1\n\ndata: 2\n\n",
        &["data: 1\n\n", "data: 2\n\n"],
        Rest::Nothing,
    );
    check(
        "data: 1\r\n\r\ndata: 2\r\n\r\n",
        &["data: 1\r\n\r\n", "data: 2\r\n\r\n"],
        Rest::Nothing,
    );
    check(
        "data: 1\n\r\ndata: 2\r\n\n",
        &["data: 1\n\r\n", "data: 2\r\n\n"],
        Rest::Nothing,
    );
    check(
        ": c\nevent: e\nid: 1\ndata: é\n\n",
        &[": c\nevent: e\nid: 1\ndata: é\n\n"],
        Rest::Nothing,
    );
}

#[test]
fn a_trailing_cr_waits_for_the_next_byte() {
    let (events, rest) = whole("data: 1\r\rdata: 2\r\r");
    assert_eq!(events, ["data: 1\r\r"]);
    assert_eq!(rest, Rest::Complete("data: 2\r\r".into()));
    let (events, rest) = frame(Framing::Sse, ["data: 1\r\n\r".into(), "\ndata: 2".into()]);
    assert_eq!(events, ["data: 1\r\n\r\n"]);
    assert_eq!(rest, Rest::Unterminated("data: 2".into()));
}

#[test]
fn blank_lines_between_events_are_no_events() {
    let (events, rest) = whole("\n\r\n\r\rdata: 1\n\n\n\r\n\ndata: 2\n\n\r");
    assert_eq!(events, ["data: 1\n\n", "data: 2\n\n"]);
    assert_eq!(rest, Rest::Nothing);
}

#[test]
fn only_the_first_event_may_begin_with_a_byte_order_mark() {
    let (events, _) = whole("\u{feff}data: 1\n\n\u{feff}data: 2\n\n");
    assert_eq!(events, ["data: 1\n\n", "\u{feff}data: 2\n\n"]);
}

#[test]
fn an_event_within_one_read_is_not_copied() {
    let read = Bytes::from("data: 1\n\ndata: 2\n\n");
    let (events, _) = frame(Framing::Sse, [read.clone()]);
    assert_eq!(events[0].as_ptr(), read.as_ptr());
    assert_eq!(events[1].as_ptr(), read[9..].as_ptr());
}

#[test]
fn what_is_too_long_is_broken_wherever_it_is_split() {
    let mut limits = Limits::default();
    (limits.line, limits.event) = (16, 32);
    let code = |stream: &str, step: usize| {
        let mut framer = Framer::new(Framing::Sse, limits);
        for read in stream.as_bytes().chunks(step) {
            framer.push(Bytes::copy_from_slice(read));
            while let Some(event) = framer.next() {
                if let Err(error) = event {
                    return Some(error.code().to_owned());
                }
            }
        }
        None
    };
    for step in [1, 7, 1000] {
        let check = |stream: &str, expect: Option<&str>| {
            assert_eq!(code(stream, step).as_deref(), expect, "{stream:?}");
        };
        check("data: 90123456\n\n", None);
        check("data: 9012345678\r\n\r\n", None);
        check("data: 90123456789\n\n", Some("event_too_large"));
        check("data: 90123456789", Some("event_too_large"));
        check("data: 90123456\ndata: 90123456\n\n", None);
        check("data: 90123456\ndata: 90123456\n:\n\n", Some("event_too_large"));
        // Never ended, and cut off all the same.
        check(&"data: 90123456\n".repeat(3), Some("event_too_large"));
        check(&"data: 1\n\n".repeat(100), None);
        check(&"\n".repeat(1000), None);
        check(&"\r".repeat(1000), None);
    }
}

#[test]
fn a_huge_line_byte_by_byte_takes_linear_time() {
    let mut limits = Limits::default();
    (limits.line, limits.event) = (10 << 20, 10 << 20);
    let mut framer = Framer::new(Framing::Sse, limits);
    let byte = Bytes::from_static(b"x");
    // Quadratic work would be 10^13 steps here.
    for _ in 0..4 << 20 {
        framer.push(byte.clone());
        assert!(framer.next().is_none());
    }
    framer.push("\n\n".into());
    assert_eq!(framer.next().unwrap().unwrap().len(), (4 << 20) + 2);
}

#[test]
fn documents_of_a_line_each() {
    let (events, rest) = frame(
        Framing::Lines,
        ["{\"a\":1}\r\n\n\r\n{\"b\"".into(), ":2}\n{}".into()],
    );
    assert_eq!(events, ["{\"a\":1}\r\n", "{\"b\":2}\n"]);
    assert_eq!(rest, Rest::Unterminated("{}".into()));
}

fn stream() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "data: \\PC{0,12}",
        Just("data: {\"é\":\"日本\"}".to_owned()),
        Just(": a comment".to_owned()),
        Just("event: delta".to_owned()),
        Just("id: 7".to_owned()),
        Just(String::new()),
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    prop::collection::vec((line, end), 0..30)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #[test]
    fn every_split_gives_the_same_events(stream in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let expect = frame(Framing::Sse, [Bytes::from(stream.clone())]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let bytes = Bytes::from(stream.clone());
        let reads = cuts.windows(2).map(|cut| bytes.slice(cut[0]..cut[1]));
        prop_assert_eq!(frame(Framing::Sse, reads), expect.clone());
        let single = (0..bytes.len()).map(|at| bytes.slice(at..=at));
        prop_assert_eq!(frame(Framing::Sse, single), expect);
    }

    #[test]
    fn events_are_the_blocks_that_a_plain_reading_of_the_standard_finds(stream in stream()) {
        let (mut events, rest) = frame(Framing::Sse, [Bytes::from(stream.clone())]);
        if let Rest::Complete(event) = rest {
            events.push(event);
        }
        let lines = stream.replace("\r\n", "\n").replace('\r', "\n");
        let mut blocks: Vec<String> = lines.split_inclusive('\n').fold(vec![String::new()], |mut blocks, line| {
            if line == "\n" { blocks.push(String::new()); } else { blocks.last_mut().unwrap().push_str(line); }
            blocks
        });
        blocks.pop();
        blocks.retain(|block| !block.is_empty());
        let found: Vec<String> = events
            .iter()
            .map(|event| {
                let text = std::str::from_utf8(event).unwrap().replace("\r\n", "\n").replace('\r', "\n");
                text.strip_suffix('\n').unwrap().to_owned()
            })
            .collect();
        prop_assert_eq!(found, blocks);
    }
}
