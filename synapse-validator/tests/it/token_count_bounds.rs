//! Counting takes no thread that others need, and no longer than it should.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use synapse_core::{
    Body, Error, ErrorKind, InferenceModule, Input, Message, ModuleExt, Output, Precision, Prompt, Request,
    Task, TokenCount, Tokenizer, testkit::Scripted,
};
use synapse_validator::token_count::{PromptTokens, TokenCountLayer, Tokenizers};

/// A byte is a token. It works only as long as a gate is open, and notes the texts that it was given.
#[derive(Debug, Default)]
struct Gated {
    closed: AtomicUsize,
    linear: bool,
    lengths: Mutex<Vec<usize>>,
}

impl Tokenizer for Gated {
    fn name(&self) -> &str {
        "gated"
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.lengths.lock().unwrap().push(text.len());
        while self.closed.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(vec![0; text.len()])
    }

    fn decode(&self, _: &[u32]) -> Result<String, Error> {
        Err(Error::unsupported("scripted", "nothing comes back"))
    }

    fn is_linear(&self) -> bool {
        self.linear
    }
}

impl Gated {
    fn texts(&self) -> usize {
        self.lengths.lock().unwrap().len()
    }
}

fn embed(text: &str) -> Input {
    Input::from_request(
        Task::EMBEDDINGS,
        Request::new("m", Prompt::Texts(vec![text.to_owned()])),
    )
}

type Seen = Arc<Mutex<Option<TokenCount>>>;

fn counting(tokenizer: &Arc<Gated>) -> (impl InferenceModule + Clone, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let layer = TokenCountLayer::new(Tokenizers::new().with("m", tokenizer.clone()));
    let stack = Scripted::new(move |input| {
        *noted.lock().unwrap() = input.extensions().get::<PromptTokens>().map(PromptTokens::count);
        async { Ok(Output::new(Body::whole("ok"))) }
    })
    .with(layer);
    (stack, seen)
}

#[tokio::test]
async fn others_go_on_while_a_megabyte_is_counted() {
    let tokenizer = Arc::new(Gated::default());
    tokenizer.closed.store(1, Ordering::SeqCst);
    let (module, seen) = counting(&tokenizer);
    let megabyte = "word ".repeat(200_000);
    let counted = module.run_inference(embed(&megabyte));
    // There is one thread here, and it ticks on.
    let ticks = async {
        while tokenizer.texts() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(tokenizer.texts(), 1);
        }
        assert_eq!(*seen.lock().unwrap(), None);
        tokenizer.closed.store(0, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(counted, ticks);
    assert!(answer.is_ok());
    assert_eq!(seen.lock().unwrap().unwrap().tokens(), 1_000_000);
}

#[tokio::test]
async fn only_a_linear_tokenizer_is_given_a_long_text_whole() {
    for (linear, longest, precision) in [
        (true, 1_000_000, Precision::Exact),
        (false, 16 * 1024, Precision::Approximate),
    ] {
        let tokenizer = Arc::new(Gated {
            linear,
            ..Gated::default()
        });
        let (module, seen) = counting(&tokenizer);
        for text in [
            "word ".repeat(200_000),
            "x".repeat(1_000_000),
            "€".repeat(333_333) + "x",
        ] {
            tokenizer.lengths.lock().unwrap().clear();
            module.run_inference(embed(&text)).await.unwrap();
            let count = seen.lock().unwrap().take().unwrap();
            assert_eq!((count.tokens(), count.precision()), (1_000_000, precision));
            let lengths = tokenizer.lengths.lock().unwrap().clone();
            assert!(*lengths.iter().max().unwrap() <= longest);
            assert!(lengths.len() <= 1_000_000 / 8_000, "{}", lengths.len());
        }
        // A conversation, too.
        let long = [Message::user("x".repeat(1_000_000))];
        module.run_inference(Input::chat("m", long)).await.unwrap();
        assert_eq!(seen.lock().unwrap().unwrap().tokens(), 1_000_000 + 4 + 4 + 3);
        assert!(*tokenizer.lengths.lock().unwrap().iter().max().unwrap() <= longest);
    }
}

#[tokio::test]
async fn counting_ends_soon_after_its_client_left() {
    let tokenizer = Arc::new(Gated::default());
    tokenizer.closed.store(1, Ordering::SeqCst);
    let (module, _) = counting(&tokenizer);
    let mut asked = Box::pin(module.run_inference(embed(&"x".repeat(1_000_000))));
    while tokenizer.texts() == 0 {
        assert!(asked.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(asked);
    tokenizer.closed.store(0, Ordering::SeqCst);
    // Whoever comes next has a worker once it ended, which was after the part that it was at.
    module.run_inference(embed(&"y".repeat(20_000))).await.unwrap();
    let lengths = tokenizer.lengths.lock().unwrap().clone();
    let parts = lengths.iter().filter(|length| **length == 16 * 1024).count();
    assert!(parts <= 2, "{parts}");
}

#[tokio::test]
async fn where_too_many_wait_a_further_one_is_refused() {
    let tokenizer = Arc::new(Gated::default());
    tokenizer.closed.store(1, Ordering::SeqCst);
    let (module, _) = counting(&tokenizer);
    let long = "x".repeat(20_000);
    let cores = thread::available_parallelism().unwrap().get();
    let places = (cores - 1).max(1) * 65;
    let mut waiting: Vec<_> = (0..places)
        .map(|_| Box::pin(module.run_inference(embed(&long))))
        .collect();
    for asked in &mut waiting {
        assert!(asked.now_or_never().is_none());
    }
    let refused = module.run_inference(embed(&long)).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.code()),
        (ErrorKind::Overloaded, "too_many_long_prompts")
    );
    assert!(refused.retry_after().is_some());
    // A short one waits for nobody.
    tokenizer.closed.store(0, Ordering::SeqCst);
    assert!(module.run_inference(embed("short")).await.is_ok());
    for asked in waiting {
        assert!(asked.await.is_ok());
    }
    assert!(module.run_inference(embed(&long)).await.is_ok());
}
