//! An Ollama's models: which there are, fetching and making them, loading and unloading.

use std::{
    io::{IsTerminal as _, stderr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use node_args::{
    say,
    table::{Column, Page, Table},
};
use serde_json::{Value, json};
use synapse_core::{Error, config::Period};
use synapse_miner::ollama::{KeepAlive, Models, Transfer};

/// Whose models, and what becomes of them.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// The Ollama.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:11434",
        global = true
    )]
    ollama: String,
    /// JSON, of long work a line each step.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the models on its disk.
    List,
    /// List the models in its memory, and what they take.
    Loaded,
    /// Show what a model is and can do.
    Show {
        /// The model.
        name: String,
    },
    /// Fetch a model from its registry; what is there already is not fetched again.
    Pull {
        /// The model, with its registry where that is not Ollama's own.
        name: String,
        /// The registry may speak plain http.
        #[arg(long)]
        insecure: bool,
    },
    /// Make a model of a GGUF file.
    Create {
        /// The model's name.
        name: String,
        /// The file.
        gguf: PathBuf,
    },
    /// Give a model a second name.
    Copy {
        /// The model.
        from: String,
        /// Its second name.
        to: String,
    },
    /// Take a model from its disk.
    Remove {
        /// The model.
        name: String,
    },
    /// Bring a model into its memory.
    Load {
        /// The model.
        name: String,
        /// How long it stays after its last request: 30m, for instance; until it is unloaded where this is left out.
        #[arg(long, value_name = "TIME")]
        keep_alive: Option<Period>,
    },
    /// Take a model out of its memory.
    Unload {
        /// The model.
        name: String,
    },
}

pub(crate) async fn run(asked: ModelsArgs) -> Result<(), Error> {
    let models = Models::connect(&asked.ollama).await?;
    let json = asked.json;
    match asked.what {
        What::List => list(&models, json).await,
        What::Loaded => loaded(&models, json).await,
        What::Show { name } => show(&models, &name, json).await,
        What::Pull {
            name,
            insecure: false,
        } => follow(models.pull(&name), json).await,
        What::Pull { name, insecure: true } => follow(models.pull_insecure(&name), json).await,
        What::Create { name, gguf } => follow(models.create(&name, gguf), json).await,
        What::Copy { from, to } => models.copy(&from, &to).await,
        What::Remove { name } => models.remove(&name).await,
        What::Load { name, keep_alive } => {
            let stays = keep_alive.map_or(KeepAlive::Forever, |time| KeepAlive::For(time.get()));
            models.load(&name, stays).await
        }
        What::Unload { name } => models.unload(&name).await,
    }
}

async fn list(models: &Models, as_json: bool) -> Result<(), Error> {
    let models = models.list().await?;
    if as_json {
        return document(&json!(models));
    }
    let mut table = Table::new([
        Column::Words("MODEL"),
        Column::Numbers("SIZE"),
        Column::Words("SINCE"),
        Column::Words("DIGEST"),
    ]);
    for model in &models {
        let digest: String = model.digest.chars().take(12).collect();
        let since: String = model.modified_at.chars().take(10).collect();
        table.row([
            model.name.as_str().into(),
            size(model.size).into(),
            since.into(),
            digest.into(),
        ]);
    }
    page(table)
}

async fn loaded(models: &Models, as_json: bool) -> Result<(), Error> {
    let models = models.loaded().await?;
    if as_json {
        return document(&json!(models));
    }
    let mut table = Table::new([
        Column::Words("MODEL"),
        Column::Numbers("MEMORY"),
        Column::Numbers("OF THAT ON GPUS"),
        Column::Numbers("CONTEXT"),
        Column::Words("UNTIL"),
    ]);
    for model in &models {
        let until: String = model.expires_at.chars().take(19).collect();
        table.row([
            model.name.as_str().into(),
            size(model.size).into(),
            size(model.size_vram).into(),
            model.context_length.to_string().into(),
            until.into(),
        ]);
    }
    page(table)
}

async fn show(models: &Models, name: &str, as_json: bool) -> Result<(), Error> {
    let details = models.show(name).await?;
    if as_json {
        return document(&json!(details));
    }
    let mut page = Page::new();
    page.line([format!("can        {}", details.capabilities.join(", "))]);
    for (what, value) in &details.details {
        if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
            page.line([format!("{what:10} {value}")]);
        }
    }
    if let Some(tokens) = details.trained_context() {
        page.line([format!("context    {tokens} tokens at most")]);
    }
    if let Some(digest) = details.weights() {
        page.line([format!("weights    {digest}")]);
    }
    for line in details.parameters.lines() {
        page.line([format!("parameter  {line}")]);
    }
    say(&page.render(false, None))
}

/// Draws how far long work is: a bar on a terminal, a line a step in JSON, and else a line whenever it does something new.
async fn follow(mut work: Transfer, as_json: bool) -> Result<(), Error> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let bytes =
        ProgressStyle::with_template("{msg:40!} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let words = ProgressStyle::default_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut said = String::new();
    while let Some(step) = work.next().await {
        let step = step?;
        if as_json {
            say(&format!("{}\n", json!(step)))?;
            continue;
        }
        if !stderr().is_terminal() {
            if said != step.status {
                eprintln!("{}", step.status);
                said = step.status;
            }
            continue;
        }
        match step.total {
            0 => bar.set_style(words.clone()),
            total => {
                bar.set_style(bytes.clone());
                bar.set_length(total);
                bar.set_position(step.completed);
            }
        }
        bar.set_message(step.status);
    }
    bar.finish_and_clear();
    Ok(())
}

fn document(value: &Value) -> Result<(), Error> {
    say(&format!("{value:#}\n"))
}

fn page<const COLUMNS: usize>(table: Table<COLUMNS>) -> Result<(), Error> {
    let mut page = Page::new();
    page.table(table);
    say(&page.render(false, None))
}

/// Bytes as people say them.
fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
