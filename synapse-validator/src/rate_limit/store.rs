//! Where the accounts are kept.

use std::{sync::Arc, time::Duration};

use synapse_core::RateLimitStatus;

use super::{
    demand::{Cost, Demands},
    local::Local,
    verdict::Refused,
};

/// Keeps accounts: in this process, or where several gateways share them.
pub(super) trait Accounts: Send + Sync + 'static {
    /// Takes `cost` from all windows that are demanded, or from none.
    fn reserve(&self, demands: &Demands, cost: Cost)
    -> impl Future<Output = Result<Granted, Refused>> + Send;

    /// Gives `refund` back of what was granted, and never waits.
    fn settle(&self, demands: &Demands, receipt: Receipt, refund: Cost);
}

/// What was taken.
#[derive(Debug)]
pub(super) struct Granted {
    /// What is left.
    pub(super) status: RateLimitStatus,
    pub(super) receipt: Receipt,
}

/// What it takes to give back what was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    /// When it was taken, since 1970 in UTC: a budget of yesterday gets nothing back.
    pub(super) taken: Duration,
    /// Under which number the store that gateways share has it.
    #[cfg(feature = "redis")]
    pub(super) reservation: Option<super::redis::ReservationId>,
}

/// Either of both.
#[derive(Debug, Clone)]
pub(super) enum Store {
    Local(Arc<Local>),
    #[cfg(feature = "redis")]
    Shared(Arc<super::redis::Shared>),
}

impl Accounts for Store {
    async fn reserve(&self, demands: &Demands, cost: Cost) -> Result<Granted, Refused> {
        match self {
            Self::Local(local) => local.reserve(demands, cost).await,
            #[cfg(feature = "redis")]
            Self::Shared(shared) => shared.reserve(demands, cost).await,
        }
    }

    fn settle(&self, demands: &Demands, receipt: Receipt, refund: Cost) {
        match self {
            Self::Local(local) => local.settle(demands, receipt, refund),
            #[cfg(feature = "redis")]
            Self::Shared(shared) => shared.settle(demands, receipt, refund),
        }
    }
}
