//! Headers of signed requests.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use synapse_core::{BlockNumber, Directory, ErrorKind, Member, Role, Watch, testkit::ManualClock};
use synapse_http::Verifier;

/// Whose keys the corpus is signed with, one of each scheme, and whom it is for.
const ALICE: [&str; 2] = [
    "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
    "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu",
];
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
const SIGNED_AT: Duration = Duration::from_secs(1_752_076_800);
const UP: Duration = Duration::from_secs(60);
const BODY: &[u8] = br#"{"prompt": "hello"}"#;

/// Headers of a request, a line each: refused with a code, or a member's, and then for once.
///
/// # Panics
/// Where that does not hold.
pub fn signed_headers(data: &[u8]) {
    let clock = Arc::new(ManualClock::at(UNIX_EPOCH + SIGNED_AT - UP));
    let members = ALICE.map(|node| Member::new(node, Role::Validator));
    let directory = Watch::constant(Directory::new(members, BlockNumber(1)));
    let verifier = Verifier::new(BOB.into(), directory)
        .clock(clock.clone())
        .accept_epistula();
    clock.advance(UP);
    let request = Request::post("/generate?stream=false")
        .body(())
        .expect("a request");
    let (mut head, ()) = request.into_parts();
    head.headers = headers(data);
    match verifier.check(&head, BODY) {
        Ok(signed_by) => {
            assert!(ALICE.contains(&signed_by.node().as_str()), "{signed_by:?}");
            let again = verifier.check(&head, BODY).expect_err("a request counts once");
            assert_eq!(again.code(), "replayed_request");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}"),
    }
}

fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts
            .next()
            .and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            // A map takes so many and no more; the rest is left out.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}
