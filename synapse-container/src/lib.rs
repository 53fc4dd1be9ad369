#![doc = include_str!("../README.md")]
#![doc(test(attr(deny(warnings))))]
#![cfg(target_os = "linux")]

mod container;
mod fault;
mod hardened;
mod logs;
mod mounts;
mod owner;
mod runtime;
mod seccomp;
mod socket;
mod spec;

pub use self::{
    container::{Container, Exit, Usage},
    owner::Owner,
    runtime::{Reconciled, Runtime},
    seccomp::SECCOMP,
    socket::{ModuleSocket, SOCKET},
    spec::{ContainerSpec, Gpus, Sandbox},
};
