//! What was asked, delivered and charged: one durable row a request.

mod row;

pub use self::row::{Closing, EntryId, Opening, Outcome, PriceVersion, TopUp, UnixMillis};
