//! Waiting until a container answers.

use std::time::Duration;

use synapse_container::{Container, Exit, ModuleSocket, Usage};
use synapse_core::{Error, ErrorKind, InferenceModule as _};
use synapse_http::OpenAiModule;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::module::Up;

/// How often a container is looked at while it starts.
const LOOK: Duration = Duration::from_millis(50);
/// How many of its last lines an error tells.
const LINES: usize = 5;
/// The longest of them, in characters.
const LINE: usize = 200;

/// Waits until `container`, of `image`, is ready, for at most `limit`.
pub(super) async fn ready(container: &Container, image: &str, limit: Duration) -> Result<Up, Error> {
    let mut last = "it did not listen on the socket that SYNAPSE_SOCKET names".to_owned();
    let answered = timeout(limit, async {
        tokio::select! {
            biased;
            exit = container.wait() => Err(exited(container, image, exit?).await),
            up = answering(container, image, &mut last) => up,
        }
    });
    if let Ok(ready) = answered.await {
        return ready;
    }
    Err(Error::new(
        ErrorKind::Timeout,
        "container_not_ready",
        format!(
            "the container of {image} was not ready after {} s: {last}{}",
            limit.as_secs(),
            last_lines(container).await.told()
        ),
    )
    .with_hint("give it longer where its model takes long to load; else correct the image: its server listens on that socket and answers /health/ready or /v1/models"))
}

/// Looks until it is ready.
async fn answering(container: &Container, image: &str, last: &mut String) -> Result<Up, Error> {
    loop {
        if let Some(socket) = container.socket()? {
            match answers(socket).await {
                Ok(up) => return Ok(up),
                Err(error) if has_no_interface(&error) => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "container_no_interface",
                        format!("the container of {image} listens, and serves neither Synapse's API nor OpenAI's"),
                    )
                    .with_hint("put a server into the image that answers GET /v1/models and POST /v1/chat/completions on the socket; examples/container_module is one")
                    .with_source(error));
                }
                Err(error) => *last = error.message().to_owned(),
            }
        }
        sleep(LOOK).await;
    }
}

/// A module over `socket`, where what listens there is ready.
async fn answers(socket: ModuleSocket) -> Result<Up, Error> {
    let module = OpenAiModule::builder("http://module")
        .unix_socket(socket.path())
        .build()?;
    module.initialize().await?;
    let health = module.health_check().await?;
    if !health.is_serving() {
        let why = health.reason().unwrap_or("it says that it is not ready");
        return Err(Error::unavailable("container_not_ready", why.to_owned()));
    }
    Ok(Up {
        module,
        _socket: socket,
        usage: watch::Sender::new(Usage::default()),
    })
}

/// Whether a server is there that will not become a module by waiting.
fn has_no_interface(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Invalid
    ) || error.code() == "not_openai"
}

async fn exited(container: &Container, image: &str, exit: Exit) -> Error {
    let lines = last_lines(container).await;
    Error::unavailable(
        "container_exited",
        format!(
            "the container of {image} ended before it was ready: {exit}{}",
            lines.told()
        ),
    )
    .with_hint(lines.remedy(exit))
}

/// What a container wrote last.
pub(super) struct LastLines(Vec<String>);

pub(super) async fn last_lines(container: &Container) -> LastLines {
    let lines = container.last_lines(LINES).await.unwrap_or_default();
    LastLines(
        lines
            .into_iter()
            .map(|line| line.chars().take(LINE).collect())
            .collect(),
    )
}

impl LastLines {
    /// As the end of a sentence.
    pub(super) fn told(&self) -> String {
        match self.0.is_empty() {
            true => "; it wrote nothing".to_owned(),
            false => format!("; it wrote last: {}", self.0.join(" | ")),
        }
    }

    /// What may help.
    fn remedy(&self, exit: Exit) -> &'static str {
        let wrote = |what: &str| self.0.iter().any(|line| line.contains(what));
        if exit.out_of_memory {
            "give it more memory, or a smaller model"
        } else if wrote("No space left on device") {
            "it may write to /tmp alone, in memory: give it more scratch, or let it write less"
        } else if wrote("Read-only file system") {
            "its root cannot be written: let it write to /tmp"
        } else if exit.code == 126 || exit.code == 127 {
            "correct the command, or the image's entry point"
        } else {
            "correct what its last lines complain of, and try it again"
        }
    }
}
