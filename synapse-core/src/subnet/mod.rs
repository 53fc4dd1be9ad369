//! What a node needs of its chain.

mod directory;
mod epoch;
mod weights;

use async_trait::async_trait;

pub use self::{
    directory::{Directory, Endpoint, Member, Registration, Role, Serving},
    epoch::{Epoch, Phase, SubnetParams},
    weights::{Weight, Weights},
};
use crate::{EpochId, Error, NodeId, OperationId, SubnetId, Watch};

/// One subnet of a chain, as a node sees it: who belongs to it, what epoch it is, and where weights go.
///
/// Implemented by `synapse-chain` over a local chain, EVM and Substrate. What a chain calls its own business (salts,
/// commits, nonces, fees) stays behind it.
#[async_trait]
pub trait Subnet: Send + Sync + 'static {
    /// Which subnet it is.
    fn id(&self) -> SubnetId;

    /// Returns once what can be followed is known, and not only its default; at once, unless said otherwise.
    ///
    /// # Errors
    /// Where there is no such subnet.
    async fn synced(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Its members, as they come, change and go.
    fn directory(&self) -> Watch<Directory>;

    /// Its rules, as its owner changes them.
    fn params(&self) -> Watch<SubnetParams>;

    /// The current epoch and its phase.
    fn epochs(&self) -> Watch<Epoch>;

    /// Makes a node a member, with stake. Registering again with the same key changes nothing but the stake.
    ///
    /// # Errors
    /// Where the subnet is full, the account lacks what the registration costs, or the stake is below the minimum.
    async fn register(&self, registration: Registration) -> Result<Member, Error>;

    /// Tells the subnet where a member can be reached, and what it can do there. An [`Endpoint`] alone, `into()`, says
    /// nothing of the latter.
    ///
    /// # Errors
    /// Where `node` is no member, or the digest of its capabilities is none.
    async fn serve(&self, node: &NodeId, serving: Serving) -> Result<(), Error>;

    /// Takes a member out of the directory.
    ///
    /// # Errors
    /// Where `node` is no member.
    async fn leave(&self, node: &NodeId) -> Result<(), Error>;

    /// Submits a validator's weights for an epoch. Idempotent by `operation`: a second call with the same id has no
    /// further effect and the same result.
    ///
    /// `Ok` means that the chain has them, as finally as that chain gets while the epoch is weighed: an adapter of a chain
    /// that may still take a block back waits until it may not, or submits again itself what was taken back.
    ///
    /// # Errors
    /// Where the validator may not set weights, the epoch does not take them, or a weight names no member.
    async fn submit_weights(
        &self,
        operation: OperationId,
        validator: &NodeId,
        epoch: EpochId,
        weights: Weights,
    ) -> Result<(), Error>;
}
