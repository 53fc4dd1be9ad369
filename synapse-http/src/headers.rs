//! Names of our own headers.

use std::time::Duration;

use http::HeaderName;

/// Of a reply: the miner that served it.
pub const MINER: HeaderName = HeaderName::from_static("x-synapse-miner");
/// Of a request: how long its answer is still wanted, in milliseconds.
pub const DEADLINE_MS: HeaderName = HeaderName::from_static("x-synapse-deadline-ms");
/// The longest wait that it may say.
pub(crate) const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Of both: which request it is, from the gateway's door to the engine.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of a reply with a score: the validator's scheme and signature, as [`scores`](crate::scores) has it.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-synapse-signature");
/// Of a reply that refuses a signed request: the time by the refusing node's clock, in nanoseconds since 1970.
pub const CLOCK: HeaderName = HeaderName::from_static("x-synapse-clock");
