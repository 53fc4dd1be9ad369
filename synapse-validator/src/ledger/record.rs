//! What frames hold.

use synapse_core::{Micros, NodeId, Usage};

use super::{
    Closing, EntryId, Opening, Outcome, PriceVersion, TopUp,
    codec::{Decoder, Encoder, LONGEST_NAME, LONGEST_NOTE, LONGEST_NUMBER, Malformed},
};

/// What is written of a code, at most.
const LONGEST_CODE: usize = 64;
/// What a closing row takes beyond its opening one, at most: a miner, a code, and its numbers.
const CLOSING_EXTRA: u64 = (LONGEST_NAME + LONGEST_CODE + 12 * (LONGEST_NUMBER + 1)) as u64;

/// What one frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Opened(Opening),
    Closed(Box<Entry>),
    ToppedUp(TopUp),
    /// Everything before this position was on the disk when this was written.
    Durable(u64),
    /// Bytes that were set aside.
    Gap,
}

/// A request that is over: all of it, so that nobody has to look for its opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) opening: Opening,
    pub(super) closing: Closing,
}

const OPENED: u8 = 1;
const CLOSED: u8 = 2;
const TOPPED_UP: u8 = 3;
const DURABLE: u8 = 4;
const GAP: u8 = 5;

/// Bytes that the closing row of this opening takes at most, its frame not counted.
pub(super) fn most_closing(opening: &Opening) -> u64 {
    let mut out = Encoder::default();
    put_opening(&mut out, opening);
    out.0.len() as u64 + CLOSING_EXTRA
}

/// A text, cut to what a name may have.
pub(super) fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Opened(opening) => encode_opening(opening),
            Self::Closed(entry) => encode_closing(&entry.opening, &entry.closing),
            Self::ToppedUp(top_up) => encode_top_up(top_up),
            Self::Durable(position) => {
                let mut out = Encoder(vec![DURABLE]);
                out.number(*position);
                out.0
            }
            Self::Gap => vec![GAP],
        }
    }

    /// # Errors
    /// Where the bytes are not what `encode` makes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Decoder(bytes);
        let record = match from.byte()? {
            OPENED => Self::Opened(opening(&mut from)?),
            CLOSED => {
                let opening = opening(&mut from)?;
                let closing = closing(&mut from)?;
                Self::Closed(Box::new(Entry { opening, closing }))
            }
            TOPPED_UP => Self::ToppedUp(top_up(&mut from)?),
            DURABLE => Self::Durable(from.number()?),
            // Whatever fills the place.
            GAP => return Ok(Self::Gap),
            _ => return Err("no version of this program writes such a row"),
        };
        from.finish()?;
        Ok(record)
    }
}

pub(super) fn encode_opening(opening: &Opening) -> Vec<u8> {
    let mut out = Encoder(vec![OPENED]);
    put_opening(&mut out, opening);
    out.0
}

pub(super) fn encode_closing(opening: &Opening, closing: &Closing) -> Vec<u8> {
    let mut out = Encoder(vec![CLOSED]);
    put_opening(&mut out, opening);
    put_closing(&mut out, closing);
    out.0
}

pub(super) fn encode_top_up(top_up: &TopUp) -> Vec<u8> {
    let mut out = Encoder(vec![TOPPED_UP]);
    put_top_up(&mut out, top_up);
    out.0
}

pub(super) fn put_opening(out: &mut Encoder, opening: &Opening) {
    out.number(opening.at);
    out.text(opening.request.as_str());
    out.maybe(opening.caller.as_ref(), |out, caller| out.text(caller.as_str()));
    out.maybe(opening.key.as_ref(), |out, key| out.text(key.as_str()));
    out.text(&opening.model);
    out.tokens(opening.prompt);
    out.number(opening.most_completion);
    out.maybe(opening.price, |out, price| out.number(price.0.into()));
    out.number(opening.hold.0);
}

pub(super) fn opening(from: &mut Decoder<'_>) -> Result<Opening, Malformed> {
    Ok(Opening {
        at: from.number()?,
        request: from.name()?.into(),
        caller: from.maybe(|from| Ok(from.name()?.into()))?,
        key: from.maybe(|from| Ok(from.name()?.into()))?,
        model: from.name()?.to_owned(),
        prompt: from.tokens()?,
        most_completion: from.number()?,
        price: from.maybe(|from| {
            let version = u32::try_from(from.number()?).map_err(|_| "a price's version is too large")?;
            Ok(PriceVersion(version))
        })?,
        hold: Micros(from.number()?),
    })
}

fn put_closing(out: &mut Encoder, closing: &Closing) {
    out.number(closing.entry.0);
    out.number(closing.at);
    out.maybe(closing.miner.as_ref(), |out, miner| {
        out.text(cut(miner.as_str(), LONGEST_NAME));
    });
    out.tokens(closing.prompt);
    out.tokens(closing.completion);
    out.maybe(closing.claimed, |out, claimed| {
        out.number(claimed.input_tokens);
        out.number(claimed.output_tokens);
    });
    out.number(closing.events);
    out.number(closing.charge.0);
    out.maybe(closing.first_ms, Encoder::number);
    out.number(closing.total_ms);
    let kind = match &closing.outcome {
        Outcome::Complete => 0,
        Outcome::Broken(_) => 1,
        Outcome::Left => 2,
        Outcome::Failed(_) => 3,
        Outcome::Interrupted => 4,
    };
    out.byte(kind);
    if let Some(code) = closing.outcome.code() {
        out.text(cut(code, LONGEST_CODE));
    }
}

fn closing(from: &mut Decoder<'_>) -> Result<Closing, Malformed> {
    let entry = EntryId(from.number()?);
    Ok(Closing {
        entry,
        at: from.number()?,
        miner: from.maybe(|from| Ok(NodeId::from(from.name()?)))?,
        prompt: from.tokens()?,
        completion: from.tokens()?,
        claimed: from.maybe(|from| {
            Ok(Usage {
                input_tokens: from.number()?,
                output_tokens: from.number()?,
            })
        })?,
        events: from.number()?,
        charge: Micros(from.number()?),
        first_ms: from.maybe(Decoder::number)?,
        total_ms: from.number()?,
        outcome: match from.byte()? {
            0 => Outcome::Complete,
            1 => Outcome::Broken(from.text(LONGEST_CODE)?.to_owned()),
            2 => Outcome::Left,
            3 => Outcome::Failed(from.text(LONGEST_CODE)?.to_owned()),
            4 => Outcome::Interrupted,
            _ => return Err("a request ended in no known way"),
        },
    })
}

pub(super) fn put_top_up(out: &mut Encoder, top_up: &TopUp) {
    out.text(top_up.operation.as_str());
    out.number(top_up.at);
    out.text(top_up.caller.as_str());
    out.number(top_up.amount.0);
    out.text(cut(&top_up.note, LONGEST_NOTE));
}

pub(super) fn top_up(from: &mut Decoder<'_>) -> Result<TopUp, Malformed> {
    Ok(TopUp {
        operation: from.name()?.into(),
        at: from.number()?,
        caller: from.name()?.into(),
        amount: Micros(from.number()?),
        note: from.text(LONGEST_NOTE)?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};
    use synapse_core::TokenCount;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        "\\PC{0,60}"
    }

    fn tokens() -> impl Strategy<Value = TokenCount> {
        (any::<u64>(), any::<bool>()).prop_map(|(tokens, is_exact)| match is_exact {
            true => TokenCount::exact(tokens),
            false => TokenCount::approximate(tokens),
        })
    }

    fn openings() -> impl Strategy<Value = Opening> {
        let names = (name(), option::of(name()), option::of(name()), name());
        let numbers = (
            any::<u64>(),
            tokens(),
            any::<u64>(),
            option::of(any::<u32>()),
            any::<u64>(),
        );
        (names, numbers).prop_map(
            |((request, caller, key, model), (at, prompt, most, price, hold))| Opening {
                caller: caller.map(Into::into),
                key: key.map(Into::into),
                prompt,
                most_completion: most,
                price: price.map(PriceVersion),
                hold: Micros(hold),
                ..Opening::new(at, request.into(), model)
            },
        )
    }

    fn closings() -> impl Strategy<Value = Closing> {
        let outcome = prop_oneof![
            Just(Outcome::Complete),
            Just(Outcome::Left),
            Just(Outcome::Interrupted),
            "[a-z_]{0,64}".prop_map(Outcome::Broken),
            "[a-z_]{0,64}".prop_map(Outcome::Failed),
        ];
        let counts = (tokens(), tokens(), option::of((any::<u64>(), any::<u64>())));
        let numbers = any::<[u64; 5]>();
        (
            option::of(name()),
            outcome,
            counts,
            numbers,
            option::of(any::<u64>()),
        )
            .prop_map(
                |(
                    miner,
                    outcome,
                    (prompt, completion, claimed),
                    [entry, at, events, charge, total],
                    first,
                )| Closing {
                    miner: miner.map(Into::into),
                    prompt,
                    completion,
                    claimed: claimed.map(|(input_tokens, output_tokens)| Usage {
                        input_tokens,
                        output_tokens,
                    }),
                    events,
                    charge: Micros(charge),
                    first_ms: first,
                    total_ms: total,
                    ..Closing::new(EntryId(entry), at, outcome)
                },
            )
    }

    fn records() -> impl Strategy<Value = Record> {
        let top_up = (name(), name(), name(), any::<u64>(), any::<u64>());
        prop_oneof![
            openings().prop_map(Record::Opened),
            (openings(), closings())
                .prop_map(|(opening, closing)| Record::Closed(Box::new(Entry { opening, closing }))),
            top_up.prop_map(|(operation, caller, note, at, amount)| {
                let mut top_up = TopUp::new(operation.into(), at, caller, Micros(amount));
                top_up.note = note;
                Record::ToppedUp(top_up)
            }),
            any::<u64>().prop_map(Record::Durable),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(record in records()) {
            prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
        }

        /// Two different rows of bytes never say the same.
        #[test]
        fn what_reads_is_what_would_be_written(mut bytes in records().prop_map(|record| record.encode()), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            match Record::decode(&bytes) {
                Ok(Record::Gap) | Err(_) => {}
                Ok(record) => prop_assert_eq!(record.encode(), bytes),
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::decode(&bytes);
        }

        #[test]
        fn a_closing_row_has_the_room_that_was_reserved(opening in openings(), mut closing in closings(), longest in any::<bool>()) {
            if longest {
                closing.miner = Some("m".repeat(300).into());
                closing.outcome = Outcome::Failed("c".repeat(300));
            }
            let row = encode_closing(&opening, &closing).len() as u64;
            prop_assert!(row <= most_closing(&opening), "{row}");
            prop_assert!(row <= crate::ledger::frame::LONGEST as u64);
        }
    }
}
