//! The epochs, held against what must come of them.

mod agreement;
mod clocks;
mod twenty;
