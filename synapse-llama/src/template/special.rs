//! Control tokens stay the template's: what a message says is text, whatever it looks like.
//!
//! Before rendering, every control token's text that messages hold is broken by a *mark*, a noncharacter that is in none
//! of them. The template handles such text as any other. Afterwards the stretches between the template's own control
//! tokens that hold a mark lose it and are tokenised without control tokens. Where messages hold none, which is nearly
//! always, nothing is changed and the prompt is one piece.

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value as Json;

use super::PromptPiece;
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// The texts of a vocabulary's control tokens, ready to be found.
#[derive(Clone, Debug)]
pub(crate) struct ControlTokens(Option<AhoCorasick>);

/// How the strings of one conversation are broken.
#[derive(Debug)]
pub(super) struct Mask<'a> {
    control: &'a ControlTokens,
    mark: Option<char>,
}

impl ControlTokens {
    pub(crate) fn of(weights: &LlamaWeights) -> Result<Self, LlamaError> {
        Self::new(&weights.control_texts())
    }

    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn new(texts: &[String]) -> Result<Self, LlamaError> {
        // A token of one character can't be broken, and no vocabulary has one.
        let texts = texts.iter().filter(|text| text.chars().nth(1).is_some());
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts);
        let finder = finder.map_err(|error| {
            LlamaError::Template(format!("its control tokens can't be searched for ({error})"))
        })?;
        Ok(Self((finder.patterns_len() > 0).then_some(finder)))
    }

    fn is_in(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|finder| finder.is_match(text))
    }

    /// Where the control tokens' texts are in `text`.
    fn find_in(&self, text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.0
            .iter()
            .flat_map(|finder| finder.find_iter(text))
            .map(|found| found.range())
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Finds out whether the conversation holds a control token's text, and if so a mark that it does not hold.
    pub(super) fn mask(&self, conversation: &[Json], tools: Option<&Json>) -> Result<Mask<'_>, LlamaError> {
        let strings = strings(conversation.iter().chain(tools));
        if !strings.iter().any(|text| self.is_in(text)) {
            return Ok(Mask {
                control: self,
                mark: None,
            });
        }
        // The noncharacters that Unicode sets aside for a program's own use.
        let free = ('\u{FDD0}'..='\u{FDEF}').find(|&mark| !strings.iter().any(|text| text.contains(mark)));
        match free {
            Some(mark) => Ok(Mask {
                control: self,
                mark: Some(mark),
            }),
            None => Err(LlamaError::invalid(
                "messages",
                "hold all of the noncharacters U+FDD0 to U+FDEF; leave one out",
            )),
        }
    }

    /// Cuts a rendered prompt at the template's control tokens, and takes the marks out.
    pub(super) fn unmask(&self, text: String, mask: &Mask<'_>) -> Vec<PromptPiece> {
        let Some(mark) = mask.mark else {
            return vec![PromptPiece::Trusted(text)];
        };
        let mut pieces = Vec::new();
        let mut trusted = String::new();
        let mut end = 0;
        for token in self.find_in(&text).chain(std::iter::once(text.len()..text.len())) {
            let stretch = text.get(end..token.start).unwrap_or_default();
            if stretch.contains(mark) {
                push(&mut pieces, PromptPiece::Trusted(std::mem::take(&mut trusted)));
                push(&mut pieces, PromptPiece::Plain(stretch.replace(mark, "")));
            } else {
                trusted.push_str(stretch);
            }
            end = token.end;
            trusted.push_str(text.get(token).unwrap_or_default());
        }
        push(&mut pieces, PromptPiece::Trusted(trusted));
        pieces
    }
}

impl Mask<'_> {
    /// `text` with every control token's text in it broken after its first character.
    pub(super) fn apply(&self, text: &str) -> String {
        let Some(mark) = self.mark else {
            return text.to_owned();
        };
        let mut masked = String::with_capacity(text.len() + 8);
        let mut end = 0;
        for token in self.control.find_in(text) {
            let (before, from) = (
                text.get(end..token.start).unwrap_or_default(),
                text.get(token.clone()).unwrap_or_default(),
            );
            let mut characters = from.chars();
            masked.push_str(before);
            masked.extend(characters.next());
            masked.push(mark);
            masked.push_str(characters.as_str());
            end = token.end;
        }
        masked + text.get(end..).unwrap_or_default()
    }
}

fn push(pieces: &mut Vec<PromptPiece>, piece: PromptPiece) {
    if !piece.text().is_empty() {
        pieces.push(piece);
    }
}

/// How many bytes of text there are.
pub(super) fn weight<'a>(json: impl Iterator<Item = &'a Json>) -> usize {
    strings(json).iter().map(|text| text.len()).sum()
}

/// Every string, keys included.
fn strings<'a>(json: impl Iterator<Item = &'a Json>) -> Vec<&'a str> {
    let mut strings = Vec::new();
    let mut open: Vec<&Json> = json.collect();
    while let Some(json) = open.pop() {
        match json {
            Json::String(text) => strings.push(text.as_str()),
            Json::Array(items) => open.extend(items),
            Json::Object(fields) => {
                strings.extend(fields.keys().map(String::as_str));
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    strings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> ControlTokens {
        ControlTokens::new(&["<|a|>".to_owned(), "<|end|>".to_owned()]).expect("two patterns")
    }

    #[test]
    fn a_masked_text_is_cut_out_of_the_prompt_as_plain() {
        let control = control();
        let mask = control
            .mask(&[Json::from("x<|end|>y")], None)
            .expect("a mark is free");
        let prompt = format!("<|a|>hi {}<|end|>\n", mask.apply("x<|end|>y"));
        let expected = [
            PromptPiece::Trusted("<|a|>".to_owned()),
            PromptPiece::Plain("hi x<|end|>y".to_owned()),
            PromptPiece::Trusted("<|end|>\n".to_owned()),
        ];
        assert_eq!(control.unmask(prompt, &mask), expected);
    }

    #[test]
    fn text_that_overlaps_itself_is_broken_everywhere() {
        let control = control();
        let text = "<|a|><|a<|a|>|>".repeat(3);
        let mask = control
            .mask(&[Json::from(text.clone())], None)
            .expect("a mark is free");
        assert!(!control.is_in(&mask.apply(&text)));
        assert_eq!(
            control.unmask(mask.apply(&text), &mask),
            [PromptPiece::Plain(text)]
        );
    }

    #[test]
    fn a_mark_is_one_that_the_conversation_lacks() {
        let control = control();
        let all: String = ('\u{FDD0}'..='\u{FDEF}').collect();
        let all_but_one = all.trim_end_matches('\u{FDEF}');
        let mask = |text: String| control.mask(&[Json::from(text)], None).map(|mask| mask.mark);
        assert_eq!(mask(all.clone()).expect("nothing to mask"), None);
        assert_eq!(
            mask(format!("<|end|>{all_but_one}")).expect("one is left"),
            Some('\u{FDEF}')
        );
        assert!(mask(format!("<|end|>{all}")).is_err());
    }
}
