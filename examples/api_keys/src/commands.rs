//! What each command does.

use std::time::SystemTime;

use serde_json::Value;
use synapse_core::Error;
use synapse_http::api_keys::{ApiKeyStore, NewApiKey};

use crate::{
    options::{Command, Create, Options, id},
    report,
};

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let json = options.json;
    match &options.command {
        Command::Create(create) => {
            let store = ApiKeyStore::open(&options.data_dir)?;
            let (key, secret) = store.create(new(create))?;
            report::made(json, &key, secret.reveal())
        }
        Command::List => {
            let keys = known(options)?.list()?;
            match json {
                true => report::json(&keys.iter().map(report::described).collect::<Value>()),
                false => report::table(&keys),
            }
        }
        Command::Show { id: shown } => {
            let key = known(options)?.show(&id(shown))?;
            match json {
                true => report::json(&report::described(&key)),
                false => report::page(&key),
            }
        }
        Command::Revoke { ids } => {
            let store = known(options)?;
            for revoked in ids {
                let key = store.revoke(&id(revoked))?;
                match json {
                    true => report::json(&report::described(&key))?,
                    false => node_args::say(&format!("{}\n", key.id()))?,
                }
            }
            Ok(())
        }
    }
}

fn new(create: &Create) -> NewApiKey {
    let mut new = NewApiKey::for_caller(&create.caller)
        .allowance(create.allowance.allowance())
        .note(&create.note);
    if let Some(models) = &create.models {
        new = new.models(models);
    }
    if let Some(period) = create.expires {
        new = new.expires(SystemTime::now() + period.get());
    }
    new
}

/// The keys of a directory that is there: who asks about a key does not mean to begin one.
fn known(options: &Options) -> Result<ApiKeyStore, Error> {
    if !options.data_dir.is_dir() {
        return Err(Error::invalid(
            "no_api_keys",
            format!(
                "there is no directory {}, and so no API keys",
                options.data_dir.display()
            ),
        )
        .with_hint("name the gateway's with --data-dir DIR; `create` begins one"));
    }
    ApiKeyStore::open(&options.data_dir)
}
