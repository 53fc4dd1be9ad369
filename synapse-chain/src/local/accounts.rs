//! Who holds how much.

use std::collections::BTreeMap;

use synapse_core::{Error, NodeId, Stake};

use super::refusal;

/// Balances, and the sum of everything that was ever given out.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    balances: BTreeMap<NodeId, Stake>,
    issued: u64,
}

impl Accounts {
    pub(super) fn balance(&self, account: &NodeId) -> Stake {
        self.balances.get(account).copied().unwrap_or_default()
    }

    pub(super) fn fund(&mut self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        // Balances and stakes never exceed what was issued, so no sum elsewhere can overflow.
        self.issued = self
            .issued
            .checked_add(amount.0)
            .ok_or_else(|| refusal::overflow(account))?;
        self.give(account, amount);
        Ok(())
    }

    /// Takes what is there to take, or nothing.
    pub(super) fn take(&mut self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        let held = self.balance(account);
        let left = held
            .0
            .checked_sub(amount.0)
            .ok_or_else(|| refusal::overdrawn(account, amount, held))?;
        if left == 0 {
            self.balances.remove(account);
        } else {
            self.balances.insert(account.clone(), Stake(left));
        }
        Ok(())
    }

    /// Gives back what was taken.
    pub(super) fn give(&mut self, account: &NodeId, amount: Stake) {
        if amount.0 > 0 {
            self.balances.entry(account.clone()).or_default().0 += amount.0;
        }
    }
}
