//! Whatever a source does and whoever leaves: every tap gets one ending, and nothing comes after it.

use futures_util::{FutureExt, StreamExt, stream};
use proptest::{collection::vec, prelude::*};
use synapse_core::{Body, Chunk, Error};

use crate::fakes::{Log, PanickingTap, failure, last, role, text};

#[derive(Debug, Clone, Copy)]
enum Step {
    Text,
    Role,
    Control,
    Last,
    Fail,
    Panic,
    Stall,
}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Reads,
    Peeks,
    Taps,
    TapsBadly,
    Wraps,
}

fn source(steps: Vec<Step>) -> impl stream::Stream<Item = Result<Chunk, Error>> + Send {
    stream::iter(steps).then(|step| async move {
        match step {
            Step::Text => Ok(text("a")),
            Step::Role => Ok(role()),
            Step::Control => Ok(Chunk::control("note", "")),
            Step::Last => Ok(last("z")),
            Step::Fail => Err(failure("cut")),
            Step::Panic => panic!("a fault injected into a source"),
            Step::Stall => std::future::pending().await,
        }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step::{Control, Fail, Last, Panic, Role, Stall, Text};
    vec(
        prop_oneof![8 => Just(Text), 2 => Just(Role), 2 => Just(Control), 2 => Just(Last), 1 => Just(Fail),
            1 => Just(Panic), 1 => Just(Stall)],
        0..12,
    )
}

fn readers() -> impl Strategy<Value = Vec<Reader>> {
    use Reader::{Peeks, Reads, Taps, TapsBadly, Wraps};
    vec(
        prop_oneof![8 => Just(Reads), 2 => Just(Peeks), 2 => Just(Taps), 1 => Just(TapsBadly), 1 => Just(Wraps)],
        0..16,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tap_gets_one_ending(steps in steps(), readers in readers(), framed: bool) {
        let mut body = if framed { Body::new(source(steps)) } else { Body::unframed(source(steps)) };
        let mut logs = vec![Log::default()];
        body.tap(logs[0].tap());
        let mut ended = false;
        for reader in readers {
            match reader {
                Reader::Reads => match body.next().now_or_never() {
                    Some(None) => ended = true,
                    Some(Some(item)) => {
                        prop_assert!(!ended, "yielded after its end: {item:?}");
                        ended = item.is_err() || item.is_ok_and(|chunk| chunk.is_last());
                    }
                    None => prop_assert!(!ended, "waited after its end"),
                },
                Reader::Peeks => {
                    let failed = body.peek().now_or_never().is_some_and(|peeked| peeked.is_err());
                    ended |= failed;
                }
                Reader::Taps => {
                    logs.push(Log::default());
                    body.tap(logs.last().unwrap().tap());
                }
                Reader::TapsBadly => body.tap(PanickingTap),
                Reader::Wraps if ended => {}
                Reader::Wraps => body = body.wrap(|body| body),
            }
        }
        drop(body);
        for log in &logs {
            let lines = log.lines();
            prop_assert_eq!(log.endings().len(), 1, "{:?}", lines);
            prop_assert!(!lines.last().unwrap().starts_with("chunk"), "a chunk after the ending: {:?}", lines);
        }
        if ended {
            prop_assert!(logs.iter().any(|log| log.endings() != ["dropped"]));
        }
    }
}
