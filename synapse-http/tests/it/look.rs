//! A look by somebody who does not sign.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use synapse_core::{
    Directory, Error, Watch,
    keys::{Keypair, Scheme, Signer},
    testkit::{Echo, ManualClock},
};
use synapse_http::{Api, OpenAiModule, Verifier, client::Look, router};

use super::server::start;

async fn look_at(api: Api, path: &str) -> Result<Look, Error> {
    let server = start(api).await;
    OpenAiModule::builder(format!("http://{}", server.address))
        .look(path)
        .await
}

#[tokio::test]
async fn a_look_says_what_time_the_server_has() {
    let look = look_at(router(Echo::new()), "/health/live").await.unwrap();
    assert!(look.status.is_success());
    assert_eq!(look.clock, None);
    let apart = SystemTime::now().duration_since(look.date.unwrap()).unwrap();
    assert!(apart < Duration::from_secs(5), "{apart:?}");
}

#[tokio::test]
async fn a_look_at_a_node_that_demands_signatures_says_its_clock() {
    let own = Keypair::generate(Scheme::Sr25519).unwrap();
    let clock = Arc::new(ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_000_000)));
    let verifier =
        Verifier::new(own.address().clone(), Watch::constant(Directory::default())).clock(clock.clone());
    clock.advance(Duration::from_secs(3));
    let look = look_at(router(Echo::new()).signed(verifier), "/v1/models")
        .await
        .unwrap();
    assert_eq!(look.status.as_u16(), 401);
    assert_eq!(look.clock, Some(UNIX_EPOCH + Duration::from_secs(1_000_003)));
}

#[tokio::test]
async fn a_look_at_nobody_is_an_error() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = OpenAiModule::builder(format!("http://{nobody}"))
        .look("/")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "connect_failed");
}
