//! What a miner of a subnet needs around its engine.
//!
//! A miner is an [`InferenceModule`](synapse_core::InferenceModule) behind layers, and this crate has the layers that
//! only a miner needs:
//!
//! | layer | what it does |
//! | --- | --- |
//! | [`QueueLayer`] | lets requests wait their turn, in order, so many and no more, and never past their deadline |
//!
//! ```
//! use synapse_core::{InferenceModule, Input, Message, ModuleExt};
//! use synapse_miner::QueueLayer;
//! # use synapse_core::testkit::Echo;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let queue = QueueLayer::bounded(64).concurrency(4);
//! let miner = Echo::new().with(queue.clone()).attach(queue);
//! let output = miner.run_inference(Input::chat("echo", [Message::user("hello there")])).await?;
//! # let _ = output;
//! # Ok::<(), synapse_core::Error>(())
//! # }).unwrap();
//! ```

#![doc(test(attr(deny(warnings))))]

pub mod queue;

pub use self::queue::{QueueLayer, QueueWait};
