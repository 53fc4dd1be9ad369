//! OpenAI's vocabularies count as OpenAI's own tiktoken does, and as both crates do by themselves, however hostile the text.

use proptest::{prelude::*, sample::select};
use serde_json::Value;
use synapse_core::{Chunk, Delta, TokenCount, Tokenizer};
use synapse_validator::token_count::{CompletionMeter, OpenAiTokenizer, OpenAiVocabulary};
use tokens::hostile;

/// One vocabulary, three times.
struct Three {
    ours: OpenAiTokenizer,
    quick: &'static tiktoken::CoreBpe,
    steady: &'static bpe_openai::Tokenizer,
}

fn all() -> Vec<Three> {
    let three = |vocabulary: OpenAiVocabulary| Three {
        ours: OpenAiTokenizer::load(vocabulary).expect("it is built in"),
        quick: tiktoken::get_encoding(vocabulary.name()).expect("it is built in"),
        steady: match vocabulary {
            OpenAiVocabulary::Cl100kBase => bpe_openai::cl100k_base(),
            _ => bpe_openai::o200k_base(),
        },
    };
    OpenAiVocabulary::ALL.map(three).into()
}

impl Three {
    fn tokens(&self, text: &str) -> u64 {
        let count = self.ours.count(text).expect("any text is taken");
        assert_eq!(count, TokenCount::exact(count.tokens()));
        count.tokens()
    }

    /// All count and encode the same, and no cut changes that.
    fn check(&self, text: &str) {
        let shown = || text.chars().take(200).collect::<String>();
        let tokens = self.tokens(text);
        assert_eq!(tokens, self.quick.count(text) as u64, "tiktoken: {:?}", shown());
        assert_eq!(
            tokens,
            self.steady.count(text) as u64,
            "bpe-openai: {:?}",
            shown()
        );
        let encoded = self.ours.encode(text).expect("any text is taken");
        assert!(encoded == self.steady.encode(text), "{:?}", shown());
        assert_eq!(self.ours.decode(&encoded).expect("its own tokens"), text);
        let mut parts = 0;
        let mut rest = text;
        while let Some(at) = self
            .ours
            .last_cut(&rest[..rest.floor_char_boundary(rest.len().min(300))])
        {
            let (part, after) = rest.split_at(at);
            parts += self.tokens(part);
            rest = after;
        }
        assert_eq!(parts + self.tokens(rest), tokens, "cut: {:?}", shown());
    }
}

#[test]
fn they_are_those_of_openais_own_tiktoken() {
    let file = include_str!("../../../tests/vectors/token_counts.json");
    let vectors: Value = serde_json::from_str(file).expect("it is JSON");
    let texts = vectors["texts"].as_array().expect("texts");
    assert!(texts.len() >= 1_000);
    for three in all() {
        let columns = vectors["columns"].as_array().expect("columns");
        let column = columns.iter().position(|column| *column == three.ours.name());
        let column = column.expect("a column for each vocabulary");
        for row in texts {
            let text = row[0].as_str().expect("a text");
            assert_eq!(Some(three.tokens(text)), row[column].as_u64(), "{text:?}");
            three.check(text);
        }
    }
}

#[test]
fn hostile_texts_have_the_same_count_by_either_crate() {
    for three in all() {
        for (_, text) in hostile(6_000) {
            three.check(&text);
        }
    }
}

#[test]
fn a_long_reply_is_counted_exactly_as_it_streams() {
    let reply = "It isn't long, but 12 parts of it are:\n\n- one,\n- two.  所以，人人生而自由，在尊严和权利上一律平等。".repeat(300);
    for three in all() {
        let whole = three.tokens(&reply);
        let mut meter = CompletionMeter::new(Some(std::sync::Arc::new(three.ours)));
        let mut rest = reply.as_str();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.ceil_char_boundary(7));
            meter.add(&Chunk::delta(Delta::text(part)));
            rest = after;
        }
        assert_eq!(meter.count(), TokenCount::exact(whole));
    }
}

#[test]
fn ids_beyond_the_vocabulary_are_refused() {
    for three in all() {
        let error = three.ours.decode(&[1, u32::MAX]).expect_err("no such token");
        assert_eq!(error.code(), "unknown_token");
    }
}

const PIECES: &[&str] = &[
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u{b}",
    "\u{85}",
    "\u{a0}",
    "\u{2009}",
    "\u{2028}",
    "\u{3000}",
    "'",
    "'s",
    "'LL",
    "'ſ",
    "-",
    "/",
    ".",
    "(",
    "}",
    "\u{7}",
    "0",
    "42",
    "1234",
    "½",
    "٣",
    "a",
    "I",
    "the",
    "THE",
    "iPhone",
    "é",
    "ß",
    "ǅ",
    "ʰ",
    "Мир",
    "的",
    "人",
    "。",
    "，",
    "か",
    "カ",
    "한",
    "ไ",
    "ा",
    "\u{301}",
    "😀",
    "\u{200d}",
    "“",
    "—",
    "…",
    "<|endoftext|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "                                        ",
    "----------------------------------------",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_mixture_has_the_same_count_by_either_crate(
        pieces in prop::collection::vec((select(PIECES), 1..5_usize), 0..120),
    ) {
        let text: String = pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect();
        for three in all() {
            three.check(&text);
        }
    }

    #[test]
    fn any_text_has_the_same_count_by_either_crate(
        texts in prop::collection::vec(prop_oneof![".{0,80}", "[ -~\\r\\n\\t]{0,300}", "\\PC{0,80}"], 0..4),
    ) {
        for three in all() {
            three.check(&texts.concat());
        }
    }
}
