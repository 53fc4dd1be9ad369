//! What a validator says its miners are worth.

use serde::{Deserialize, Serialize};

use crate::{Error, NodeId};

/// One miner's weight, relative to the others'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// The miner.
    pub node: NodeId,
    /// Its weight; only the ratio to the others' counts.
    pub value: u16,
}

/// A validator's weights for an epoch: at least one above zero, no miner twice, sorted by miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Weight>", into = "Vec<Weight>")]
pub struct Weights(Vec<Weight>);

impl Weights {
    /// Checks and sorts.
    ///
    /// # Errors
    /// Where a miner appears twice, or every weight is zero.
    pub fn new(weights: impl IntoIterator<Item = (NodeId, u16)>) -> Result<Self, Error> {
        let mut weights: Vec<Weight> = weights
            .into_iter()
            .map(|(node, value)| Weight { node, value })
            .collect();
        weights.sort_by(|a, b| a.node.cmp(&b.node));
        if let Some(twice) = weights.windows(2).find(|pair| pair[0].node == pair[1].node) {
            return Err(Error::invalid(
                "duplicate_weight",
                format!("the weights name {} twice", twice[0].node),
            ));
        }
        if weights.iter().all(|weight| weight.value == 0) {
            return Err(Error::invalid("no_weight", "every weight is zero")
                .with_hint("submit nothing where there is no opinion"));
        }
        Ok(Self(weights))
    }

    /// The weights, sorted by miner.
    #[must_use]
    pub fn as_slice(&self) -> &[Weight] {
        &self.0
    }
}

impl TryFrom<Vec<Weight>> for Weights {
    type Error = Error;

    fn try_from(weights: Vec<Weight>) -> Result<Self, Error> {
        Self::new(weights.into_iter().map(|weight| (weight.node, weight.value)))
    }
}

impl From<Weights> for Vec<Weight> {
    fn from(weights: Weights) -> Self {
        weights.0
    }
}
