//! How many tokens a request takes: guessed before, counted after.

use synapse_core::{Chunk, Input, Part, Prompt, Request, Task, Usage};

/// Bytes of text to a token, more or less: what tokenizers of English make of it.
const BYTES_PER_TOKEN: u64 = 4;
/// The longest prompt that is believed before its tokens are counted: an image's bytes are no text.
const MOST_INPUT: u64 = 32 * 1024;
/// The longest reply that is believed before it is there, and what is guessed where nobody said how long it may be.
const MOST_OUTPUT: u64 = 2048;
const USUAL_OUTPUT: u64 = 256;

/// What a request takes, guessed, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

impl Guess {
    /// A quarter of the prompt's bytes, and as many tokens as the reply may have, 2,048 at most.
    pub(crate) fn of(input: &Input) -> Self {
        let bytes = prompt_bytes(input);
        Self {
            input: bytes.div_ceil(BYTES_PER_TOKEN).min(MOST_INPUT),
            output: output(input),
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.input + self.output
    }
}

fn prompt_bytes(input: &Input) -> u64 {
    let Some(wire) = input.wire() else {
        return input.request().map_or(0, |request| text_bytes(&request));
    };
    let fields = ["messages", "prompt", "input"];
    let view = input.view().ok().flatten();
    let range = view.and_then(|view| fields.iter().find_map(|name| view.field(name)));
    range.map_or(wire.body().len(), |range| range.len()) as u64
}

fn text_bytes(request: &Request) -> u64 {
    let bytes: usize = match &request.prompt {
        Prompt::Messages(messages) => messages
            .iter()
            .map(|message| content_bytes(&message.content))
            .sum(),
        Prompt::Texts(texts) => texts.iter().map(String::len).sum(),
        Prompt::Tokens(tokens) => tokens.iter().map(Vec::len).sum::<usize>() * 4,
        _ => 0,
    };
    bytes as u64
}

fn content_bytes(content: &synapse_core::Content) -> usize {
    match content {
        synapse_core::Content::Text(text) => text.len(),
        synapse_core::Content::Parts(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                _ => 0,
            })
            .sum(),
        _ => 0,
    }
}

fn output(input: &Input) -> u64 {
    if *input.task() == Task::EMBEDDINGS || *input.task() == Task::RERANK {
        return 0;
    }
    let most = input.max_tokens().ok().flatten().map(u64::from);
    let replies = input.params().map_or(1, |params| u64::from(params.n.max(1)));
    most.unwrap_or(USUAL_OUTPUT)
        .saturating_mul(replies)
        .min(MOST_OUTPUT)
}

/// Counts what a reply took: as the engine says it, or a token a chunk where it says nothing.
#[derive(Debug)]
pub(crate) struct Count {
    guess: Guess,
    chunks: u64,
    usage: Option<Usage>,
    /// The count stands in the last event but one, or in the last. Only these two are parsed.
    previous: Option<Chunk>,
}

impl Count {
    pub(crate) fn new(guess: Guess) -> Self {
        Self {
            guess,
            chunks: 0,
            usage: None,
            previous: None,
        }
    }

    pub(crate) fn on_chunk(&mut self, chunk: &Chunk) {
        let whole = chunk.is_last() && self.chunks == 0;
        self.chunks += match chunk.wire() {
            Some(bytes) if whole => (bytes.len() as u64).div_ceil(BYTES_PER_TOKEN),
            _ => 1,
        };
        if chunk.is_last() || chunk.wire().is_none() {
            let earlier = self.previous.take().and_then(|chunk| chunk.usage());
            self.usage = chunk.usage().or(earlier).or(self.usage);
        } else {
            self.previous = Some(chunk.clone());
        }
    }

    /// Whether there was anything of a reply.
    pub(crate) fn has_begun(&self) -> bool {
        self.chunks > 0
    }

    /// What it took so far, in tokens.
    pub(crate) fn usage(&self) -> Usage {
        self.usage.unwrap_or(Usage {
            input_tokens: self.guess.input,
            output_tokens: self.chunks,
        })
    }
}
