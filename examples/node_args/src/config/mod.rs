//! A program's configuration: its flags, its file, what it answers about them, and reading it again.

mod answer;
mod flags;
mod hangup;
mod key;
mod secret;

pub(crate) use self::secret::{NO_VARIABLE, is_variable};
pub use self::{
    answer::answer,
    flags::{command, flags, flags_of, loader},
    hangup::{Hangups, tell},
    key::KeyConfig,
    secret::{check_endpoint, check_variable},
};
