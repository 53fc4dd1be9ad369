//! Any policy, over epochs that were stored.
