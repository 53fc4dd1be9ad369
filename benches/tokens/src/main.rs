//! How fast OpenAI's vocabularies count: prose, and a megabyte each of text that was made to be slow. Ours beside the two
//! crates that it is made of, in one run.
//!
//!     cargo run --release -p tokens [-- PROSE…]
//!
//! Each figure is the best of seven runs, in milliseconds of processor time, each on a thread of its own: nothing is
//! remembered of an earlier run. Without files of prose, prose is this repository's own documents.

use std::{error::Error, fs, path::Path};

use rustix::time::{ClockId, clock_gettime};
use synapse_core::{TokenCount, Tokenizer};
use synapse_validator::token_count::{OpenAiTokenizer, OpenAiVocabulary};

const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut texts = vec![("prose", prose(&files)?)];
    texts.extend(tokens::hostile(1_000_000));
    for vocabulary in [OpenAiVocabulary::O200kBase, OpenAiVocabulary::Cl100kBase] {
        let ours = OpenAiTokenizer::load(vocabulary)?;
        let quick = tiktoken::get_encoding(vocabulary.name()).ok_or("the vocabulary is not built in")?;
        let steady = match vocabulary {
            OpenAiVocabulary::Cl100kBase => bpe_openai::cl100k_base(),
            _ => bpe_openai::o200k_base(),
        };
        println!(
            "{vocabulary:31} {:>9} {:>21} {:>9} {:>10}",
            "tokens", "ours", "tiktoken", "bpe-openai"
        );
        for (name, text) in &texts {
            let count = |text: &str| ours.count(text).map_or(0, TokenCount::tokens);
            let (tokens, time) = best(|| count(text));
            let (by_quick, quick_time) = best(|| quick.count(text) as u64);
            let (by_steady, steady_time) = best(|| steady.count(text.as_str()) as u64);
            if (tokens, tokens) != (by_quick, by_steady) {
                return Err(format!("{name}: {tokens}, {by_quick} and {by_steady} tokens").into());
            }
            #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
            let speed = text.len() as f64 / time / 1e6;
            println!(
                "{name:22} {:>8} {tokens:>9} {:>7.1} ms {speed:>5.0} MB/s {:>6.1} ms {:>7.1} ms",
                text.len(),
                time * 1e3,
                quick_time * 1e3,
                steady_time * 1e3,
            );
        }
    }
    Ok(())
}

/// What `count` counts, and the least time that it took, in seconds.
fn best(count: impl Fn() -> u64 + Sync) -> (u64, f64) {
    let run = || {
        let begun = processor_time();
        let tokens = count();
        (tokens, processor_time() - begun)
    };
    let mut best = (0, f64::MAX);
    for _ in 0..RUNS {
        let ran = std::thread::scope(|scope| scope.spawn(run).join());
        let (tokens, time) = ran.expect("counting does not panic");
        best = (tokens, best.1.min(time));
    }
    best
}

/// What this thread has used, in seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds that a thread has run")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

fn prose(files: &[String]) -> Result<String, std::io::Error> {
    let mut prose = String::new();
    for file in files {
        prose += &String::from_utf8_lossy(&fs::read(file)?);
    }
    if files.is_empty() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        for folder in [root.to_owned(), root.join("docs"), root.join("docs/guides")] {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "md") {
                    prose += &fs::read_to_string(path)?;
                }
            }
        }
    }
    Ok(prose)
}
