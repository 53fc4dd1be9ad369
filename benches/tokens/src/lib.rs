//! Text that was made to be slow.

/// Such texts by name, of about so many bytes each, and the same every time.
#[must_use]
pub fn hostile(bytes: usize) -> Vec<(&'static str, String)> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut of = |characters: &str| {
        let characters: Vec<char> = characters.chars().collect();
        filled(bytes, |text| {
            text.push(characters[random.below(characters.len())]);
        })
    };
    let base64 = of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    let letters = of("abcdefghijklmnopqrstuvwxyz");
    let capitals = of("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let digits = of("0123456789");
    let signs = of("!#$%&()*+,-.:;<=>?@[]^_{|}~");
    let mut between = |first: u32, last: u32| {
        let all = (first..=last).filter_map(char::from_u32).collect::<Vec<_>>();
        filled(bytes, |text| text.push(all[random.below(all.len())]))
    };
    vec![
        ("spaces", " ".repeat(bytes)),
        ("newlines", "\n".repeat(bytes)),
        ("spaces and newlines", " \n".repeat(bytes / 2)),
        ("tabs", "\t".repeat(bytes)),
        ("no-break spaces", "\u{a0}x".repeat(bytes / 3)),
        ("one letter", "a".repeat(bytes)),
        ("two letters", "ab".repeat(bytes / 2)),
        ("letters", letters.clone()),
        ("capitals", capitals),
        ("words of 60", spaced(&letters, 60)),
        ("words of 30", spaced(&letters, 30)),
        ("words of 10", spaced(&letters, 10)),
        ("one digit", "7".repeat(bytes)),
        ("digits", digits),
        ("one sign", "=".repeat(bytes)),
        ("signs", signs),
        ("base64", base64.clone()),
        ("base64 in lines", lines(&base64)),
        ("ideographs", between(0x4e00, 0x9fa5)),
        ("one ideograph", "的".repeat(bytes / 3)),
        ("kana", between(0x3041, 0x3096)),
        ("Hangul", between(0xac00, 0xd7a3)),
        ("Thai", between(0xe01, 0xe2e)),
        ("accents on accents", between(0x300, 0x36f)),
        (
            "emoji joined",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦\u{200d}".repeat(bytes / 28),
        ),
        ("any emoji joined", joined(&between(0x1f400, 0x1f5ff))),
        ("any characters", between(1, 0x10_ffff)),
        ("any, among words", among_words(&between(0x80, 0x10_ffff))),
    ]
}

fn filled(bytes: usize, mut add: impl FnMut(&mut String)) -> String {
    let mut text = String::with_capacity(bytes + 4);
    while text.len() < bytes {
        add(&mut text);
    }
    text
}

/// With a space before each so many letters.
fn spaced(letters: &str, length: usize) -> String {
    let words = letters.as_bytes().chunks(length);
    words
        .flat_map(|word| [b" ", word].concat())
        .map(char::from)
        .collect()
}

fn lines(text: &str) -> String {
    let lines = text.as_bytes().chunks(76);
    lines
        .flat_map(|line| [line, b"\n"].concat())
        .map(char::from)
        .collect()
}

fn joined(emoji: &str) -> String {
    emoji.chars().flat_map(|emoji| [emoji, '\u{200d}']).collect()
}

fn among_words(characters: &str) -> String {
    characters
        .chars()
        .map(|character| format!("a word {character} "))
        .collect()
}

/// Numbers that look random, and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }
}
