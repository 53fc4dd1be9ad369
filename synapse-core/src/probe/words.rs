//! What questions are made of. They need no sense beyond what a user's has; they must not repeat, and nobody may know them
//! beforehand: the lists are public, so each text has something [made up](super::made_up) in it.

use super::{made_up, random::Random};
use crate::Message;

const TOPICS: [&str; 40] = [
    "the water cycle",
    "how vaccines work",
    "compound interest",
    "the French Revolution",
    "sourdough bread",
    "binary search",
    "photosynthesis",
    "the offside rule in football",
    "index funds",
    "black holes",
    "how sleep affects memory",
    "the difference between TCP and UDP",
    "growing tomatoes on a balcony",
    "the causes of inflation",
    "recursion",
    "plate tectonics",
    "writing a cover letter",
    "the history of the bicycle",
    "electric cars",
    "learning a second language",
    "how a compiler works",
    "mindful breathing",
    "the Roman road network",
    "why the sky is blue",
    "planning a week in Lisbon",
    "hash tables",
    "training for a half marathon",
    "the human immune system",
    "fermenting vegetables",
    "how tides form",
    "negotiating a salary",
    "jazz harmony",
    "the Silk Road",
    "renewable energy storage",
    "caring for a kitten",
    "SQL joins",
    "the water supply of old cities",
    "reading a balance sheet",
    "why leaves change colour",
    "packing for a mountain hike",
];
const READERS: [&str; 12] = [
    "a curious teenager",
    "my grandmother",
    "a new colleague",
    "a class of ten-year-olds",
    "someone in a hurry",
    "a sceptical friend",
    "a beginner",
    "my team",
    "a student before an exam",
    "somebody who knows the basics",
    "a visitor from abroad",
    "readers of a local newspaper",
];
/// `{}` is the topic, `[]` the reader.
const ASKING: [&str; 14] = [
    "Explain {} to [].",
    "Can you write a short introduction to {} for []?",
    "What are the three most important things [] should know about {}?",
    "I have to give a talk about {} to []. How should I begin?",
    "Give me an analogy for {} that [] would understand.",
    "What do people usually get wrong about {}? Answer for [].",
    "Write a friendly email to [] that sums up {}.",
    "List five questions that [] may ask about {}.",
    "Summarise {} in a few sentences for [].",
    "Tell me a little story about {} that I can read to [].",
    "What would you say to [] who thinks that {} is boring?",
    "Compare two ways of thinking about {}, for [].",
    "help me understand {}, i want to explain it to [] later",
    "Draft an outline of a blog post on {} for [].",
];
const FOLLOW_UPS: [&str; 10] = [
    "Thanks! Could you go into more detail on the second point?",
    "Can you give me an example?",
    "That is too long for me. Say it in simpler words.",
    "And why does that matter in practice?",
    "ok, and what would an expert add to this?",
    "Please rewrite this as a list.",
    "What is the most common mistake here?",
    "How sure are you about that, and what could be wrong?",
    "Interesting. How did people find that out?",
    "Now make it more fun to read.",
];
const SETTINGS: [&str; 8] = [
    "You are a helpful assistant.",
    "You are a patient teacher. Keep your answers short.",
    "Answer in plain English and avoid jargon.",
    "You write for a general audience, clearly and kindly.",
    "You are the assistant of a small company. Be polite and to the point.",
    "Think before you answer, then answer directly.",
    "You are an experienced editor.",
    "Be concise.",
];
const REPLIES: [&str; 6] = [
    "Sure! In short, it comes down to a few simple ideas that build on each other.",
    "Of course. The first thing to know is where it comes from; the second is how it works; the third is what follows.",
    "Happy to help. Most people start with the details, and it is easier to begin with the whole.",
    "Here is one way to look at it: imagine that you had to explain it without any special words.",
    "Good question. There are two parts to it, and they are often confused.",
    "Let me put it like this: it is less complicated than it sounds, and there is one idea behind it.",
];
const OPENINGS: [&str; 12] = [
    "The most surprising thing about {} is that",
    "Once upon a time, [] asked about {}, and",
    "An introduction to {}\n\nFor a long time,",
    "Everything that [] needs to know about {}:",
    "Q: What is so special about {}?\nA:",
    "Dear reader, today we look at {}. To begin with,",
    "Notes on {}\n\n1.",
    "If you have never heard of {}, imagine",
    "My first encounter with {} was on a rainy morning, when",
    "There are three reasons why [] should care about {}. The first is",
    "Chapter one: {}\n\nIt was",
    "People who study {} agree that",
];
/// Each is one token with a space before it, in the vocabularies that language models share their words with.
const SINGLE: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "on", "with", "as", "be", "at", "by",
    "this", "had", "not", "are", "but", "from", "or", "have", "an", "they", "which", "one", "you", "were",
    "all", "her", "she", "there", "would", "their", "we", "him", "been", "has", "when", "who", "will", "no",
    "more", "if", "out", "so", "up", "said", "what", "about", "than", "into", "them", "can", "only", "other",
    "time", "new", "some", "could", "these", "two",
];
const MAKERS: [&str; 8] = [
    "llama", "mistral", "qwen", "phi", "gemma", "falcon", "granite", "olmo",
];
const SIZES: [&str; 8] = ["1b", "3b", "7b", "8b", "13b", "14b", "34b", "70b"];

/// Something that a user may ask.
pub(super) fn question(random: &mut Random) -> String {
    if random.one_in(3) {
        return made_up::task(random);
    }
    let (asked, remark) = (fill(random.pick(&ASKING), random), made_up::remark(random));
    match random.one_in(3) {
        true => format!("{remark} {asked}"),
        false => format!("{asked} {remark}"),
    }
}

/// The beginning of a text.
pub(super) fn opening(random: &mut Random) -> String {
    let (by, at) = (made_up::name(random), made_up::name(random));
    let opening = fill(random.pick(&OPENINGS), random);
    match random.below(3) {
        0 => format!("By {by}, {at}, {}\n\n{opening}", 1950 + random.below(75)),
        1 => format!(
            "{by} and {at} wrote, in issue {}:\n\n{opening}",
            1 + random.below(999)
        ),
        _ => format!("{}\n\n{opening}", made_up::remark(random)),
    }
}

/// A conversation: mostly one question, sometimes with a setting, sometimes the second one.
pub(super) fn conversation(random: &mut Random) -> Vec<Message> {
    let mut messages = Vec::new();
    if random.one_in(3) {
        let setting = random.pick(&SETTINGS);
        messages.push(Message::system(match random.one_in(2) {
            true => setting.to_owned(),
            false => format!("{setting} The user is called {}.", made_up::name(random)),
        }));
    }
    messages.push(Message::user(question(random)));
    if random.one_in(4) {
        let (who, number) = (made_up::name(random), 2 + random.below(998));
        let reply = random.pick(&REPLIES);
        messages.push(Message::assistant(format!(
            "{reply} Think of {who}, with {number} of them."
        )));
        let follow_up = random.pick(&FOLLOW_UPS);
        messages.push(Message::user(format!("{follow_up} {}", made_up::remark(random))));
    }
    messages
}

/// What a user may ask about a long text.
pub(super) fn about_a_text(random: &mut Random) -> String {
    let asked = random.pick(&[
        "What is this text about?",
        "Summarise this for me.",
        "Which words come up most in this?",
        "Is there anything odd in this text?",
    ]);
    format!("{asked} {}", made_up::remark(random))
}

/// A text of `tokens` words of one token each, but no more than `bytes` bytes.
pub(super) fn long_text(random: &mut Random, tokens: usize, bytes: usize) -> String {
    let mut text = String::new();
    for _ in 0..tokens {
        let word = random.pick(&SINGLE);
        if text.len() + word.len() + 1 > bytes {
            break;
        }
        text.push(' ');
        text.push_str(word);
    }
    text
}

/// A model's name as models are called.
pub(super) fn model(random: &mut Random) -> String {
    let (maker, size) = (random.pick(&MAKERS), random.pick(&SIZES));
    let (major, minor) = (1 + random.below(5), random.below(10));
    format!("{maker}-{major}.{minor}-{size}-instruct")
}

fn fill(template: &str, random: &mut Random) -> String {
    let (topic, reader) = (random.pick(&TOPICS), random.pick(&READERS));
    template.replace("{}", topic).replace("[]", reader)
}
