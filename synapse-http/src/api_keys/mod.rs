//! API keys: who may ask, for which models, and how much.
//!
//! [`ApiKeyStore`] makes, lists and revokes keys in a directory; [`ApiKeysLayer`] asks for one at the door of an API. Both
//! may be at work on one directory at once, in different processes: **what was revoked is refused from the next request on**.
//!
//! ```
//! use synapse_core::testkit::Echo;
//! use synapse_http::api_keys::{ApiKeyStore, ApiKeysLayer, NewApiKey};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("api-keys");
//! let store = ApiKeyStore::open(&folder)?;
//! let (key, secret) = store.create(NewApiKey::for_caller("alice").models(["echo"]))?;
//! println!("{} is {}, and is told this once", key.id(), secret.reveal());
//!
//! let api = synapse_http::router(Echo::new()).layer(ApiKeysLayer::open(&folder)?);
//! # let _ = api;
//! store.revoke(key.id())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a request shows
//! `authorization: Bearer sk-syn-…`, as OpenAI's clients send it. Beside the request then stand its
//! [`Caller`](synapse_core::Caller) (the key's account), the [`ApiKey`](synapse_core::ApiKey) with its allowance, and the
//! [`ModelScope`]. Every route of the API asks for a key but `/metrics`; `/health/*` is no layer's business.
//!
//! | code | status | what is wrong |
//! | --- | --- | --- |
//! | `missing_api_key` | 401 | there is none |
//! | `invalid_api_key` | 401 | it is none of ours: unknown, malformed, too long, given twice |
//! | `expired_api_key` | 401 | its time is over |
//! | `revoked_api_key` | 401 | it was revoked |
//! | `model_not_allowed` | 403 | it is good, and for other models, which are named |
//! | `api_keys_unreadable`, `api_keys_malformed` | 503 | the file of keys cannot be read; nobody is let in until it can |
//!
//! That a key expired or was revoked is told to whoever has that very key. Who guesses learns nothing: of 256 random bits
//! nobody has them by chance. No reply, log or `Debug` repeats a key.
//!
//! # What is kept
//! `keys.json` has each key's SHA-256 and what it may; `revoked` has the SHA-256 of each that was revoked. A slow hash, as
//! passwords need, would protect nothing: it makes each guess dear where secrets are few, and there are 2²⁵⁶ of these. It
//! would only let strangers burn the gateway's time. A key is found by its digest, in a table whose order is the process's
//! secret, and digests are compared in constant time.
//!
//! Files are written aside, synced and renamed, and the directory is synced, before a change is acknowledged. A key is revoked
//! where either file says so: a `keys.json` of before brings none back, nor does a `revoked` of before. Only a copy of the
//! whole directory does, and not in a gateway that runs: it never takes back what it saw revoked.

mod file;
mod info;
mod layer;
mod live;
mod presented;
mod refusal;
mod scope;
mod secret;
mod store;

pub use self::{
    info::{ApiKeyInfo, NewApiKey},
    layer::{ApiKeys, ApiKeysLayer},
    presented::presented,
    scope::ModelScope,
    secret::ApiKeySecret,
    store::ApiKeyStore,
};
