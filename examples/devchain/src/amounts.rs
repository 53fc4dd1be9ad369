//! Amounts, addresses and times, as flags write them.

use std::{str::FromStr, time::Duration};

use synapse_core::{
    NodeId, Stake,
    keys::{Scheme, check_address},
};

/// An account and what it is given: `5Grw…=1000`.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) account: NodeId,
    pub(crate) amount: Stake,
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, amount) = text.split_once('=').ok_or("write it as ADDRESS=AMOUNT")?;
        let account = address(account)?;
        let amount = amount.parse().map_err(|error| format!("{amount:?}: {error}"))?;
        Ok(Self {
            account,
            amount: Stake(amount),
        })
    }
}

/// The address of a key of any scheme.
pub(crate) fn address(text: &str) -> Result<NodeId, String> {
    let account = NodeId::from(text);
    let scheme = if text.starts_with("0x") {
        Scheme::Secp256k1
    } else {
        Scheme::Sr25519
    };
    check_address(scheme, &account).map_err(|error| error.to_string())?;
    Ok(account)
}

/// A time with its unit: `50ms`, `12s`, `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
    let found = units.iter().find_map(|(unit, milliseconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*milliseconds)
    });
    match found {
        Some(0) => Err("it must not be zero".to_owned()),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
        None => Err("write it as 500ms, 12s or 1m".to_owned()),
    }
}
