//! What is taken out of a text before it is kept.

use std::borrow::Cow;

/// Digits of a number, spaces and dashes between them aside, from which it is taken for a card, an account or a telephone.
const LONG_NUMBER: usize = 9;
/// Characters of a word without spaces from which it is taken for a secret, if it has letters and digits.
const SECRET: usize = 24;

/// `text` with `[email]`, `[secret]` and `[number]` in the place of what looks like one: addresses of mail, words of 24
/// characters or more that mix letters and digits (keys, tokens, hashes), and numbers of nine digits or more.
///
/// It knows no names and no addresses of streets: what must not be kept at all must not be asked to be kept.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut from = 0;
    for (start, word) in words(text) {
        let Some(label) = label(word) else { continue };
        kept.push_str(&text[from..start]);
        kept.push_str(label);
        from = start + word.len();
    }
    let kept = match from {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(kept + &text[from..]),
    };
    match long_numbers(&kept) {
        Some(without) => Cow::Owned(without),
        None => kept,
    }
}

/// Runs of characters that addresses and keys are made of, with where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let within = |character: char| character.is_alphanumeric() || "@._%+-/=".contains(character);
    text.split(move |character| !within(character))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

fn label(word: &str) -> Option<&'static str> {
    if let Some((user, host)) = word.split_once('@') {
        let host = host.trim_end_matches('.');
        return (!user.is_empty() && host.contains('.')).then_some("[email]");
    }
    let letters = word.chars().any(char::is_alphabetic);
    let digits = word.chars().any(|character| character.is_ascii_digit());
    // A path has slashes, and a word with a dash is seldom so long.
    (letters && digits && word.chars().count() >= SECRET).then_some("[secret]")
}

/// The text without its long numbers; `None` where it has none.
fn long_numbers(text: &str) -> Option<String> {
    let mut without = String::new();
    let mut copied = 0;
    let mut run: Option<Run> = None;
    for (at, character) in text.char_indices().chain([(text.len(), 'x')]) {
        if character.is_ascii_digit() {
            let run = run.get_or_insert(Run {
                start: at,
                end: at,
                digits: 0,
            });
            run.end = at + 1;
            run.digits += 1;
        } else if let Some(ended) = run.take_if(|_| !" -".contains(character))
            && ended.digits >= LONG_NUMBER
        {
            without.push_str(&text[copied..ended.start]);
            without.push_str("[number]");
            copied = ended.end;
        }
    }
    (copied > 0).then(|| without + &text[copied..])
}

/// Digits, and what may stand between them.
struct Run {
    start: usize,
    end: usize,
    digits: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::redact;

    #[test]
    fn what_looks_personal_or_secret_goes_and_the_rest_stays() {
        for (text, kept) in [
            ("Write to ada@example.com, please.", "Write to [email], please."),
            ("mail bob.b+x@mail.example.co.uk.", "mail [email]"),
            ("@ada said a@b", "@ada said a@b"),
            ("key sk-syn-4f9a8b7c6d5e4f3a2b1c0d9e!", "key [secret]!"),
            ("card 4111 1111 1111 1111 please", "card [number] please"),
            ("call +49 170-123 45 67", "call +[number]"),
            ("in 1815 and 1852", "in 1815 and 1852"),
            ("12345678 stays", "12345678 stays"),
            ("", ""),
            ("Überraschung für Jürgen", "Überraschung für Jürgen"),
        ] {
            assert_eq!(redact(text), kept);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC{0,200}") {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once), once.as_str(), "and twice is once");
        }
    }
}
