//! What nobody has said before: names, numbers, and short texts of them. With them no list of questions can be written down.

use super::random::Random;

const BEGINNINGS: [&str; 24] = [
    "ba", "be", "bra", "da", "del", "dri", "fa", "fe", "ga", "ha", "jo", "ka", "ki", "la", "lo", "ma", "mi",
    "no", "pa", "re", "sa", "so", "ta", "vi",
];
const ENDINGS: [&str; 24] = [
    "ba", "da", "del", "den", "fer", "go", "ka", "la", "len", "lin", "lo", "mar", "mi", "na", "nor", "ra",
    "ric", "ro", "san", "son", "ta", "ter", "vin", "za",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const THINGS: [&str; 16] = [
    "bicycle",
    "blanket",
    "bookshelf",
    "camera",
    "coat",
    "desk",
    "drill",
    "guitar",
    "kettle",
    "lamp",
    "mirror",
    "printer",
    "radio",
    "sofa",
    "tent",
    "violin",
];
const VERBS: [&str; 8] = [
    "count", "find", "group", "join", "merge", "scale", "sort", "split",
];

/// A word that is in no dictionary.
pub(super) fn word(random: &mut Random) -> String {
    let mut word = random.pick(&BEGINNINGS).to_owned();
    for _ in 0..2 + random.below(2) {
        word.push_str(random.pick(&ENDINGS));
    }
    word
}

/// A name of somebody, or of some place.
pub(super) fn name(random: &mut Random) -> String {
    let mut word = word(random);
    word[..1].make_ascii_uppercase();
    word
}

/// A remark that goes with any question.
pub(super) fn remark(random: &mut Random) -> String {
    let (who, where_) = (name(random), name(random));
    let number = 2 + random.below(9_998);
    match random.below(6) {
        0 => format!("My name is {who} and I live in {where_}."),
        1 => format!("Please call the two people in your example {who} and {where_}."),
        2 => format!("It is for {who}, who asked me on {}.", random.pick(&DAYS)),
        3 => format!("Use {number} as the number in your example, and {where_} as the place."),
        4 => format!("I need it for a meeting with {who} from {where_}."),
        _ => format!("{who} told me that there are {number} people in {where_} who want to know."),
    }
}

/// A task that is made up as a whole.
pub(super) fn task(random: &mut Random) -> String {
    match random.below(5) {
        0 => code(random),
        1 => list(random),
        2 => sum(random),
        3 => note(random),
        _ => story(random),
    }
}

fn code(random: &mut Random) -> String {
    let (first, second) = (word(random), word(random));
    let (verb, times, more) = (random.pick(&VERBS), 2 + random.below(98), random.below(1_000));
    match random.below(3) {
        0 => format!(
            "What does this do?\n\ndef {verb}_{first}({second}):\n    return [{times} * x + {more} for x in {second} if x % {} == 0]",
            2 + random.below(9)
        ),
        1 => format!(
            "Why is this slow?\n\nfor {first} in range({times}000):\n    if {first} in {second}_list:\n        {second}_list.remove({first} + {more})"
        ),
        _ => format!(
            "Write a function {verb}_{first} that takes a list of {second}s and returns the first {times} whose id is over {more}."
        ),
    }
}

fn list(random: &mut Random) -> String {
    let lines: Vec<String> = (0..3 + random.below(5))
        .map(|_| {
            format!(
                "- {} ({}): {}",
                name(random),
                random.pick(&THINGS),
                1 + random.below(2_000)
            )
        })
        .collect();
    let lines = lines.join("\n");
    match random.below(3) {
        0 => format!("Sort this by the number, largest first:\n{lines}"),
        1 => format!("Turn this into a table with three columns:\n{lines}"),
        _ => format!("Who has the cheapest thing here, and what is it?\n{lines}"),
    }
}

fn sum(random: &mut Random) -> String {
    let (who, thing) = (name(random), random.pick(&THINGS));
    let (price, part, months) = (
        20 + random.below(4_980),
        3 + random.below(40),
        2 + random.below(34),
    );
    format!(
        "{who} buys a {thing} for {price} and pays {part} percent at once and the rest in {months} months. How much is it a month? Show how you get there."
    )
}

fn note(random: &mut Random) -> String {
    let (from, to, thing) = (name(random), name(random), random.pick(&THINGS));
    let (day, price) = (random.pick(&DAYS), 5 + random.below(995));
    let how = random.pick(&["friendlier", "shorter", "more formal", "clearer"]);
    format!(
        "Make this {how}: \"Hi {to}, the {thing} you left here on {day} is still here. I can send it for {price}, or you pick it up. {from}\""
    )
}

fn story(random: &mut Random) -> String {
    let (hero, place, friend) = (name(random), name(random), name(random));
    format!(
        "Begin a story in which {hero} finds a {} in {place}, and {friend} does not believe it.",
        random.pick(&THINGS)
    )
}
