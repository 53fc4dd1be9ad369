//! How inference goes: times, tokens and endings, as metrics.

mod layer;
mod tail;
mod totals;

pub use self::layer::MeterLayer;
