//! A program's configuration: its flags, its file, what it answers about them, and reading it again.

mod answer;
mod flags;
mod hangup;
mod key;

pub use self::{
    answer::answer,
    flags::{command, flags, flags_of, loader},
    hangup::{Hangups, tell},
    key::KeyConfig,
};
