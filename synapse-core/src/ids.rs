//! Names of things as types of their own, so that no two are confused.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:?})"), &*self.0)
            }
        }
    };
}

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// A member of a subnet, miner or validator: the address of its key, or a name in a local chain.
    NodeId
}
name! {
    /// Whom a request is counted against: an API key's id, a node, or an address.
    CallerId
}
name! {
    /// An API key, by the name under which it is listed; not the key itself.
    KeyId
}
name! {
    /// One request, from the gateway's door to the engine; travels in `x-request-id`.
    RequestId
}
impl RequestId {
    /// A new one: unique among all processes, and not to be guessed from the one before.
    #[must_use]
    pub fn unique() -> Self {
        static PROCESS: LazyLock<(u64, RandomState)> = LazyLock::new(|| {
            let random = RandomState::new();
            (random.hash_one("process"), random)
        });
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, random) = &*PROCESS;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::from(format!("{process:016x}{:016x}", random.hash_one(count)))
    }
}

name! {
    /// One intended effect on a chain; submitting it twice has the effect once.
    OperationId
}
number! {
    /// A subnet of a chain.
    SubnetId
}
number! {
    /// A block's height.
    BlockNumber
}
number! {
    /// An epoch's number, counted from a subnet's first.
    EpochId
}
number! {
    /// An amount of stake, in the chain's smallest unit.
    Stake
}
