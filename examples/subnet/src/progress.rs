//! Loading a model, and showing how far it is.

use std::{path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use synapse_core::Error;
use synapse_llama::LlamaWeights;

/// Loads the weights, with a bar on standard error where that is a terminal.
pub(crate) async fn load(path: &Path) -> Result<LlamaWeights, Error> {
    let bar = ProgressBar::new(100)
        .with_message(format!("loading {}", path.display()))
        .with_style(ProgressStyle::with_template("{msg} {wide_bar} {percent} %").expect("a valid template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    let (path, shown) = (path.to_owned(), bar.clone());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of one hundred"
    )]
    let loaded = tokio::task::spawn_blocking(move || {
        LlamaWeights::load_with_progress(path, move |share| shown.set_position((share * 100.0) as u64))
    })
    .await
    .map_err(|error| Error::internal("loading_ended", "loading the model ended early").with_source(error))?;
    bar.finish_and_clear();
    Ok(loaded?)
}
