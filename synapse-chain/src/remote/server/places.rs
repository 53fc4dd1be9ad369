//! Who may follow: so many in all, and so many of one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use synapse_core::{Error, ErrorKind, Retry};

/// The places of those who follow.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one,
            taken: Mutex::default(),
        })
    }

    /// A place for one who follows from `address`, where that is known.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Error> {
        let full = |why: &'static str| {
            Err(Error::new(ErrorKind::Overloaded, "too_many_followers", why)
                .with_retry(Retry::After(Duration::from_secs(5))))
        };
        let mut taken = self.taken.lock().expect(UNPOISONED);
        if taken.all >= self.most {
            return full("as many follow the chain as it lets");
        }
        if let Some(address) = address {
            if taken
                .by_address
                .get(&address)
                .is_some_and(|of| *of >= self.most_of_one)
            {
                return full("as many follow the chain from this address as it lets");
            }
            *taken.by_address.entry(address).or_default() += 1;
        }
        taken.all += 1;
        Ok(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().expect(UNPOISONED);
        taken.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(of) = taken.by_address.get_mut(&address) {
            *of -= 1;
            if *of == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds the places";
