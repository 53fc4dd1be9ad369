//! Replicas that come and go with demand.

mod spawner;

pub use self::spawner::Spawner;
