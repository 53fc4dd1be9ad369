//! A look at the set-up, before it costs anything.

use std::sync::Arc;

use clap::Args;
use node_args::say;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Endpoint, Error, ModuleExt as _, SubnetSummary,
    config::{Configuration, Wrong},
    keys::Signer,
};
use synapse_http::tls::NodeTls;
use synapse_miner::Preflight;

use crate::{config::MinerConfig, engine::Around, validators::ValidatorKey};

/// How it is looked at.
#[derive(Debug, Args)]
pub(crate) struct PreflightArgs {
    /// A validator of the subnet, to compare speed and clock with.
    #[arg(long, value_name = "URL")]
    validator: Option<String>,
    #[command(flatten)]
    key: ValidatorKey,
    /// JSON rather than a table.
    #[arg(long)]
    json: bool,
}

/// The miner's options, of one who looks at them.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Looker(MinerConfig);

impl Configuration for Looker {
    fn check(&self, wrong: &mut Wrong) {
        self.0.check_but_for_tls(wrong);
    }
}

pub(crate) async fn run(Looker(config): Looker, asked: PreflightArgs) -> Result<(), Error> {
    let hotkey = config.key.unlock().await?.hotkey();
    let queue = config.queue.layer();
    let around = Around {
        parallel: config.queue.parallel,
        state: &config.data_dir,
        node: hotkey.address(),
        scale: &config.scale,
        queue: &queue,
    };
    let engine = config.engine.start(&around).await?;
    let module = engine.with(queue.clone()).attach(queue);
    let advertised = match &config.advertise {
        Some(url) => Endpoint::http(url)?,
        None => {
            let scheme = if config.plain_http { "http" } else { "https" };
            Endpoint::http(&format!("{scheme}://{}", config.server.listen))?
        }
    };
    let mut preflight = Preflight::new(hotkey.address().clone(), advertised)
        .serve(&*config.server.listen, module)
        .data_dir(&config.data_dir)
        .allow_loopback(config.validators.allow_loopback)
        .allow_private(config.validators.allow_private)
        .allow_plain_http(config.validators.allow_plain_http)
        .serve_plain_http(config.server.allow_plain_http);
    if !config.plain_http {
        preflight = preflight.tls(NodeTls::new(hotkey.clone()).await?);
    }
    if let Some(url) = &asked.validator {
        preflight = preflight.compare_clock_with(url.clone());
        match summary(&config, &asked.key, url, hotkey).await {
            Ok(summary) => preflight = preflight.compare_with(summary),
            Err(error) => eprintln!("the speed is compared with nothing: {error}"),
        }
    }
    let report = Box::pin(preflight.run()).await;
    if asked.json {
        let report = serde_json::to_value(&report).expect("a report has a JSON form");
        say(&format!("{report:#}\n"))?;
    } else {
        say(&format!("{report}\n"))?;
    }
    match report.failed().count() {
        0 => Ok(()),
        failed => Err(Error::invalid(
            "preflight_failed",
            format!("{failed} of {} checks failed", report.checks.len()),
        )
        .with_hint("put right what they name before you register")),
    }
}

async fn summary(
    config: &MinerConfig,
    key: &ValidatorKey,
    url: &str,
    hotkey: Arc<dyn Signer>,
) -> Result<SubnetSummary, Error> {
    let client = key.client(url, config, hotkey).await?;
    Ok(client.summary().await?.value().clone())
}
