//! Configuration: one type says which options there are; a file, the environment and flags set them.
//!
//! A program's configuration is a struct of its own, made of the sections that the role crates have (`PoolConfig`,
//! `ServerConfig`, …), so that an embedder has the same options under the same names. The struct is all there is to
//! maintain: [`Schema`] reads off it the flags, the variables, the reference page and the example file, and [`Loader`]
//! refuses whatever it does not know, everything at once, each with its place and the nearest valid key.
//!
//! ```
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use synapse_core::config::{Configuration, Loader, Period, Schema, Wrong};
//!
//! #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Gateway {
//!     /// The pool of miners.
//!     pool: Pool,
//! }
//!
//! #[derive(Debug, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Pool {
//!     /// Miners asked for one request, at most.
//!     #[schemars(range(min = 1, max = 16))]
//!     attempts: u32,
//!     /// How long a first token is waited for.
//!     patience: Period,
//! }
//!
//! impl Default for Pool {
//!     fn default() -> Self {
//!         Self { attempts: 3, patience: Period::seconds(300) }
//!     }
//! }
//!
//! impl Configuration for Gateway {
//!     fn check(&self, wrong: &mut Wrong) {
//!         if self.pool.patience == Period::default() {
//!             wrong.add("pool.patience", "nobody answers in no time");
//!         }
//!     }
//! }
//!
//! let environment = [("SYNAPSE_POOL__ATEMPTS", "5")].map(|(name, value)| (name.into(), value.into()));
//! let wrong = Loader::<Gateway>::new().environment(environment).load().unwrap_err();
//! assert_eq!(
//!     wrong.to_string(),
//!     "SYNAPSE_POOL__ATEMPTS: there is no such option; did you mean SYNAPSE_POOL__ATTEMPTS?"
//! );
//!
//! let loaded = Loader::<Gateway>::new().flag("pool-attempts", "5").load()?;
//! assert_eq!(loaded.value().pool.attempts, 5);
//! assert!(Schema::of::<Gateway>().example().contains("attempts = 3"));
//! # Ok::<(), synapse_core::config::Problems>(())
//! ```

mod broken;
mod environment;
mod example;
mod file;
mod flatten;
mod kind;
mod live;
mod loader;
mod nearest;
mod order;
mod period;
mod problem;
mod reference;
mod schema;
mod tree;
mod write;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    live::{Change, Live},
    loader::{Effective, Loaded, Loader},
    period::Period,
    problem::{Origin, Problem, Problems, Wrong},
    schema::{Schema, Setting},
};

/// A type that says which options there are.
///
/// It and every section in it derive `Serialize`, `Deserialize` and `JsonSchema` with
/// `#[serde(deny_unknown_fields, default)]`; [`Schema`] says what is read off it.
pub trait Configuration: JsonSchema + Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// Says what is wrong across options that each are right: a certificate without its key. It is asked only then.
    fn check(&self, wrong: &mut Wrong) {
        let _ = wrong;
    }
}
