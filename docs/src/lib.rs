//! The programs of the guides, compiled as doctests: roles may not depend on each other even in tests, and here they meet.

#![doc = include_str!("../guides/gateway.md")]
#![doc = include_str!("../guides/custom-module.md")]
#![doc = include_str!("../guides/nodes.md")]
#![doc = include_str!("../guides/write-a-score-policy.md")]
