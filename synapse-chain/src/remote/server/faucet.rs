//! Funds out of nothing, for development.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    extract::{Request, State},
    response::Response,
};
use synapse_core::{
    Error, ErrorKind, NodeId, Stake,
    keys::{Scheme, check_address},
};

use super::{Served, answer, submit};
use crate::{local::LocalCall, remote::wire::Wish};

const LONGEST_BODY: usize = 1024;

/// Gives an amount once an account.
#[derive(Debug, Clone)]
pub(super) struct Faucet {
    amount: Stake,
    most: usize,
    given: Arc<Mutex<BTreeSet<NodeId>>>,
}

impl Faucet {
    pub(super) fn new(amount: Stake, most: usize) -> Self {
        Self {
            amount,
            most,
            given: Arc::default(),
        }
    }

    /// Notes that `account` is given something, unless it was already.
    fn reserve(&self, account: &NodeId) -> Result<(), Error> {
        let mut given = self.given.lock().expect("nothing panics while it holds the set");
        if given.contains(account) {
            return Err(dry(format!("the faucet gave {account} its amount already")));
        }
        if given.len() >= self.most {
            return Err(dry(format!(
                "the faucet gave to {} accounts, and gives to no more",
                self.most
            )));
        }
        given.insert(account.clone());
        Ok(())
    }

    fn release(&self, account: &NodeId) {
        let mut given = self.given.lock().expect("nothing panics while it holds the set");
        given.remove(account);
    }
}

fn dry(why: String) -> Error {
    Error::new(ErrorKind::RateLimited, "faucet_dry", why)
}

/// Whether a key can have this address: what is given to any other is lost, and takes somebody's place.
fn check(account: &NodeId) -> Result<(), Error> {
    let schemes = [Scheme::Sr25519, Scheme::Ed25519, Scheme::Secp256k1];
    let mut checked = schemes.map(|scheme| check_address(scheme, account)).into_iter();
    match checked.find(Result::is_ok) {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "malformed_address",
            "the faucet gives to the addresses of keys, and this is none",
        )),
    }
}

async fn fund(served: &Served, call: LocalCall) -> Result<(), Error> {
    let receipt = served.backend().submit_local(call).await?;
    receipt.outcome.into_result().map(drop)
}

pub(super) async fn give(State(served): State<Arc<Served>>, request: Request) -> Response {
    let given = async {
        let Some(faucet) = &served.faucet else {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "no_faucet",
                "this chain gives nothing away",
            ));
        };
        let body = submit::read(request.into_body(), LONGEST_BODY).await?;
        let Wish { account } = submit::parse(&body)?;
        check(&account)?;
        if served.backend().account(&account).await?.balance >= faucet.amount {
            return Err(dry(format!("{account} holds as much as the faucet gives")));
        }
        faucet.reserve(&account)?;
        let call = LocalCall::Fund {
            account: account.clone(),
            amount: faucet.amount,
        };
        if let Err(error) = fund(&served, call).await {
            faucet.release(&account);
            return Err(error);
        }
        served.backend().account(&account).await
    };
    answer(given.await)
}
