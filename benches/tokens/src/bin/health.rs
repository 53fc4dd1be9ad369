//! How long `/health/ready` takes while clients send hostile megabytes whose tokens are counted.
//!
//!     cargo run --release -p tokens --bin health
//!
//! Everything runs in this process: a server, its clients, and who asks for it a hundred times a second. OpenAI's
//! vocabulary counts for real; the second one is made up, and takes two seconds of processor time for a megabyte, as
//! llama.cpp's tokenizers do at worst.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use synapse_core::{Error, ModuleExt, Tokenizer, testkit::Echo};
use synapse_http::{Server, router};
use synapse_validator::token_count::{OpenAiVocabulary, TokenCountLayer, Tokenizers};

/// What the echo calls itself.
const MODEL: &str = "echo";
const CLIENTS: usize = 4;
const ASKED: u32 = 1_000;

/// Takes two microseconds for each byte.
#[derive(Debug)]
struct Slow;

impl Tokenizer for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let until = Instant::now() + Duration::from_micros(2) * u32::try_from(text.len()).unwrap_or(u32::MAX);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(vec![0; text.len()])
    }

    fn decode(&self, _: &[u32]) -> Result<String, Error> {
        Err(Error::unsupported("one_way", "nothing comes back"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "{:28} {:>8} {:>9} {:>9} {:>9}",
        "", "prompts", "p50", "p99", "longest"
    );
    let openai = || Tokenizers::new().with_openai(MODEL, OpenAiVocabulary::O200kBase);
    let slow = Tokenizers::new().with(MODEL, Arc::new(Slow));
    for (name, tokenizers, text) in [
        ("nobody else", Tokenizers::new(), None),
        ("o200k_base, letters", openai(), Some("letters")),
        ("o200k_base, one sign", openai(), Some("one sign")),
        ("slow, letters", slow, Some("letters")),
    ] {
        let (ready, address) = tokio::sync::oneshot::channel();
        let server = Server::bind("127.0.0.1:0").await?.on_ready(move |address| {
            let _ = ready.send(address);
        });
        let module = Echo::new().with(TokenCountLayer::new(tokenizers));
        let serving = tokio::spawn(server.serve(router(module)));
        let address = address.await?;
        let measured = tokio::task::spawn_blocking(move || measure(address, text)).await?;
        println!("{name:28} {measured}");
        serving.abort();
    }
    Ok(())
}

fn measure(address: SocketAddr, text: Option<&str>) -> String {
    let hostile = tokens::hostile(1_000_000);
    let found = text.and_then(|name| hostile.iter().find(|(of, _)| *of == name));
    let (done, prompts) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times = Vec::new();
    thread::scope(|scope| {
        if let Some((_, text)) = found {
            let (done, prompts) = (&done, &prompts);
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let body = format!(
                            r#"{{"model":"{MODEL}","max_tokens":1,"messages":[{{"role":"user","content":"{text}"}}]}}"#
                        );
                        let reply = ask(address, "POST /v1/chat/completions", &body);
                        assert!(reply.contains(" 200 "), "{reply:.300}");
                        prompts.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
        for _ in 0..ASKED {
            let begun = Instant::now();
            let reply = ask(address, "GET /health/ready", "");
            assert!(reply.contains(" 200 "), "{reply}");
            times.push(begun.elapsed());
            thread::sleep(Duration::from_millis(10).saturating_sub(begun.elapsed()));
        }
        done.store(true, Ordering::Relaxed);
    });
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let (middle, p99, longest) = (at(50), at(99), at(100));
    let prompts = prompts.into_inner();
    format!("{prompts:>8} {middle:>6.1} ms {p99:>6.1} ms {longest:>6.1} ms")
}

/// The status line, and what follows it.
fn ask(address: SocketAddr, line: &str, body: &str) -> String {
    let mut reply = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.read_to_string(&mut reply)
    });
    asked.map_or_else(|error| error.to_string(), |_| reply)
}
