//! Signers that vouch for a TLS key as they should not, or fail while they do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use synapse_core::{
    Error, NodeId,
    keys::{Keypair, Scheme, Signature, Signer},
    testkit::{Echo, ManualClock},
};
use synapse_http::{router, tls::NodeTls};
use tokio::time::sleep;

use super::{server::start_with, tls_hop::key};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Signs as Alice the first time; then it is up to `then`.
#[derive(Debug)]
struct Turns {
    named: NodeId,
    signed: Arc<AtomicUsize>,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    SignsAs(&'static str),
    PanicsOnce,
}

#[async_trait]
impl Signer for Turns {
    fn address(&self) -> &NodeId {
        &self.named
    }

    fn scheme(&self) -> Scheme {
        Scheme::Sr25519
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let turn = self.signed.fetch_add(1, Ordering::Relaxed);
        let key: Keypair = match self.then {
            Then::SignsAs(other) if turn > 0 => key(other),
            Then::PanicsOnce if turn == 1 => panic!("the signer's own fault"),
            _ => key("//Alice"),
        };
        Ok(key.sign_now(message))
    }
}

fn alice_who(then: Then) -> (Turns, Arc<AtomicUsize>) {
    let signed = Arc::new(AtomicUsize::new(0));
    let named = key("//Alice").address().clone();
    let signer = Turns {
        named,
        signed: signed.clone(),
        then,
    };
    (signer, signed)
}

#[tokio::test]
async fn a_certificate_that_peers_would_refuse_replaces_none() {
    let (signer, _) = alice_who(Then::SignsAs("//Mallory"));
    let tls = NodeTls::new(signer).await.unwrap();
    let first = tls.certificate();
    let error = tls.rotate().await.unwrap_err();
    assert_eq!(error.code(), "signer_unfit", "{error}");
    assert!(error.message().contains(first.claim().node().as_str()));
    assert_eq!(tls.certificate().der(), first.der());
}

#[tokio::test]
async fn a_signer_whose_address_is_none_gets_no_certificate() {
    let (mut signer, _) = alice_who(Then::PanicsOnce);
    signer.named = NodeId::from("5".repeat(300));
    let error = NodeTls::new(signer).await.unwrap_err();
    assert_eq!(error.code(), "signer_unfit");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_panics_is_begun_anew() {
    let clock = Arc::new(ManualClock::at(SystemTime::now()));
    let (signer, signed) = alice_who(Then::PanicsOnce);
    let tls = NodeTls::builder(signer)
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    let first = tls.certificate();
    let server = start_with(router(Echo::new()), |server| server.tls(tls.clone())).await;
    clock.advance(4 * DAY);
    sleep(DAY).await;
    assert_eq!(signed.load(Ordering::Relaxed), 3, "once in vain, once for good");
    assert_ne!(tls.certificate().der(), first.der());
    server.ended().await.unwrap();
}
