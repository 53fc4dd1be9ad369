//! Who holds how much.

use synapse_core::{Error, NodeId, Stake};

use super::{refusal, state::State};

/// Balances, and the sum of everything that was ever given out.
impl State {
    pub(super) fn balance(&self, account: &NodeId) -> Stake {
        self.accounts.get(account).copied().unwrap_or_default().balance
    }

    /// Gives out what was not there before.
    pub(super) fn issue(&mut self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        // Balances and stakes never exceed what was issued, so no sum elsewhere can overflow.
        let mut supply = self.supply.get(&()).copied().unwrap_or_default();
        supply.issued = Stake(
            supply
                .issued
                .0
                .checked_add(amount.0)
                .ok_or_else(|| refusal::overflow(account))?,
        );
        self.supply.set((), supply);
        self.give(account, amount);
        Ok(())
    }

    /// How much can still be issued.
    pub(super) fn issuable(&self) -> u64 {
        u64::MAX - self.supply.get(&()).copied().unwrap_or_default().issued.0
    }

    /// Destroys what was taken.
    pub(super) fn burn(&mut self, amount: Stake) {
        let mut supply = self.supply.get(&()).copied().unwrap_or_default();
        supply.burned.0 += amount.0;
        self.supply.set((), supply);
    }

    /// Takes what is there to take, or nothing.
    pub(super) fn take(&mut self, account: &NodeId, amount: Stake) -> Result<(), Error> {
        let mut record = self.accounts.get(account).copied().unwrap_or_default();
        let Some(left) = record.balance.0.checked_sub(amount.0) else {
            return Err(refusal::overdrawn(account, amount, record.balance));
        };
        if amount.0 == 0 {
            return Ok(());
        }
        record.balance = Stake(left);
        if left == 0 && record.nonce == 0 {
            self.accounts.remove(account);
        } else {
            self.accounts.set(account.clone(), record);
        }
        Ok(())
    }

    /// Gives back what was taken.
    pub(super) fn give(&mut self, account: &NodeId, amount: Stake) {
        if amount.0 > 0 {
            let mut record = self.accounts.get(account).copied().unwrap_or_default();
            record.balance.0 += amount.0;
            self.accounts.set(account.clone(), record);
        }
    }

    /// Uses up an account's next nonce.
    pub(super) fn use_nonce(&mut self, account: &NodeId) {
        let mut record = self.accounts.get(account).copied().unwrap_or_default();
        record.nonce += 1;
        self.accounts.set(account.clone(), record);
    }
}
