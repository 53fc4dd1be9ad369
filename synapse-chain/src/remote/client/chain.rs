//! A chain in another process, as handles need it.

use std::sync::{Arc, LazyLock};

use serde::de::DeserializeOwned;
use synapse_core::{EpochId, Error, NodeId, Stake, SubnetId, Watch, Weights, async_trait};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    follow::follow_head,
    link::Link,
    submit,
    subnets::{Known, Progress, Subnets},
};
use crate::{
    Account, ChainId, Head, Receipt, SignedTransaction, Supply, TxHash,
    backend::{Backend, Followed},
    remote::wire,
};

/// A chain in another process. Tasks follow it, and each of its subnets that somebody watches; they outlive this value
/// as long as somebody does.
#[derive(Debug)]
pub(super) struct RemoteChain {
    link: Arc<Link>,
    subnets: Arc<Subnets>,
    _following: oneshot::Sender<()>,
}

impl RemoteChain {
    pub(super) fn start(link: Link) -> Self {
        let link = Arc::new(link);
        Self {
            _following: follow_head(link.clone()),
            subnets: Arc::default(),
            link,
        }
    }

    /// Waits for the first answer, for as long as a chain that is away is waited for.
    pub(super) async fn contact(&self) -> Result<(), Error> {
        let chain: wire::Chain = self.link.get("/v1/chain").await?;
        self.link.advance(chain.head);
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        self.link.get(&path).await
    }

    fn watch<T>(&self, subnet: SubnetId, watch: impl FnOnce(&Known) -> T) -> T {
        self.subnets.watch(&self.link, subnet, watch)
    }
}

#[async_trait]
impl Backend for RemoteChain {
    fn chain(&self) -> &ChainId {
        static UNKNOWN: LazyLock<ChainId> = LazyLock::new(|| ChainId::new("unknown"));
        self.link.chain().unwrap_or(&UNKNOWN)
    }

    async fn ready(&self) -> Result<(), Error> {
        match self.link.seen() {
            Some(_) => Ok(()),
            None => self.contact().await,
        }
    }

    fn head(&self) -> Watch<Head> {
        self.link.follow_head()
    }

    async fn account(&self, account: &NodeId) -> Result<Account, Error> {
        self.get(format!("/v1/accounts/{}", segment(account.as_str())))
            .await
    }

    async fn supply(&self) -> Result<Supply, Error> {
        let chain: wire::Chain = self.link.get("/v1/chain").await?;
        Ok(chain.supply)
    }

    async fn subnets(&self) -> Result<Vec<SubnetId>, Error> {
        let chain: wire::Chain = self.link.get("/v1/chain").await?;
        Ok(chain.subnets)
    }

    async fn follow(&self, subnet: SubnetId) -> Result<Followed, Error> {
        let followed = self.follow_lazily(subnet);
        let synced = timeout(self.link.waits.patience, self.synced(subnet)).await;
        match synced {
            Ok(synced) => synced.map(|()| followed),
            Err(_) => {
                let progress = self.watch(subnet, Known::progress);
                match &*progress.borrow() {
                    Progress::Synced => Ok(followed),
                    Progress::Waiting(Some(error)) => Err(error.clone()),
                    Progress::Waiting(None) => Err(self.link.http().silent()),
                }
            }
        }
    }

    fn follow_lazily(&self, subnet: SubnetId) -> Followed {
        self.watch(subnet, Known::followed)
    }

    async fn synced(&self, subnet: SubnetId) -> Result<(), Error> {
        let mut progress = self.watch(subnet, Known::progress);
        let reached = progress.wait_for(|progress| match progress {
            Progress::Synced => true,
            Progress::Waiting(Some(error)) => is_verdict(error),
            Progress::Waiting(None) => false,
        });
        match reached.await.as_deref() {
            Ok(Progress::Waiting(Some(error))) => Err(error.clone()),
            // It is followed as long as somebody waits here.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn weights(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Weights)>, Error> {
        self.get(format!("/v1/subnets/{subnet}/weights/{epoch}")).await
    }

    async fn payouts(&self, subnet: SubnetId, epoch: EpochId) -> Result<Vec<(NodeId, Stake)>, Error> {
        self.get(format!("/v1/subnets/{subnet}/payouts/{epoch}")).await
    }

    fn deadline(&self) -> Option<Instant> {
        Some(Instant::now() + self.link.waits.submission)
    }

    async fn submit(&self, transaction: SignedTransaction) -> Result<Receipt, Error> {
        self.submit_until(transaction, self.deadline()).await
    }

    async fn submit_until(
        &self,
        transaction: SignedTransaction,
        until: Option<Instant>,
    ) -> Result<Receipt, Error> {
        let longest = Instant::now() + self.link.waits.submission;
        let until = until.map_or(longest, |until| until.min(longest));
        submit::submit(&self.link, &transaction, until).await
    }

    async fn receipt(&self, hash: &TxHash) -> Result<Option<Receipt>, Error> {
        submit::receipt(&self.link, hash).await
    }
}

/// Whether waiting longer changes nothing.
fn is_verdict(error: &Error) -> bool {
    error.code() == "unknown_subnet"
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .fold(String::with_capacity(name.len()), |mut path, byte| {
            match byte {
                byte if plain(byte) => path.push(char::from(byte)),
                byte => path.push_str(&format!("%{byte:02X}")),
            }
            path
        })
}
