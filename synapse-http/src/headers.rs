//! Names of our own headers.

use std::time::Duration;

use http::HeaderName;

/// Of a reply: the miner that served it.
pub const MINER: HeaderName = HeaderName::from_static("x-synapse-miner");
/// Of a reply: how long its request stood in the line of whoever served it, in milliseconds, where there is one.
pub const QUEUE_WAIT_MS: HeaderName = HeaderName::from_static("x-synapse-queue-wait-ms");
/// Of a reply: at which position its request came in there, from 1; 0 where it did not have to wait.
pub const QUEUE_POSITION: HeaderName = HeaderName::from_static("x-synapse-queue-position");
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
