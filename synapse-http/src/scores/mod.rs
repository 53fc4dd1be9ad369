//! What a validator thinks of its miners, over HTTP: to each miner its own score, with the reasons; to everybody how the
//! subnet does.
//!
//! | route | who may ask | what it answers |
//! | --- | --- | --- |
//! | `GET /synapse/v1/score`, `?epoch=N` | a member, with a [signed](crate::signed) request | its own [`ScoreReport`], of the last epoch that was scored where it names none |
//! | `GET /synapse/v1/summary` | everybody | the [`SubnetSummary`] of the last epoch that was scored |
//!
//! [`Scores`] are the routes, which [`Api::scores`](crate::Api::scores) serves over any
//! [`ScoreBook`]. [`ScoresClient`](crate::ScoresClient) asks them, and checks what it is told.
//!
//! # What a reply proves
//! Both are signed by the validator, in the header [`x-synapse-signature`](crate::headers::SIGNATURE), as a node's
//! certificate is: scheme, address, and `0x` with the signature in hex digits, with a space between them. Signed are these
//! lines, without a line end after the last:
//!
//! | | of a report | of a summary |
//! | --- | --- | --- |
//! | 1 | `synapse-score/1` | `synapse-summary/1` |
//! | 2 | the scheme: `sr25519` | the same |
//! | 3 | the validator's address | the same |
//! | 4 | the miner's address | `-` |
//! | 5 | the SHA-256 of the body as it was sent, in hex digits | the same |
//!
//! Whoever keeps body and header can show to others, at any time, that this validator said this of this miner, in this
//! subnet and of this epoch: [`check_report`] and [`check_summary`] need nothing else. A summary is not proved true, only to
//! be the validator's word. A refusal is not signed.
//!
//! # What is refused
//! As [`signed`](crate::signed) says; beside that `no_such_epoch` and `unknown_miner` (404), `invalid_epoch` and
//! `unknown_parameter` (400): nobody can ask for another's report.

mod attested;
mod routes;

use std::{fmt, sync::Arc};

use synapse_core::{ScoreBook, keys::Signer};
#[doc(no_inline)]
pub use synapse_core::{ScoreReport, SubnetSummary};

pub use self::attested::{Attested, check_report, check_summary};
use crate::signed::Verifier;

/// Where the routes are.
pub(crate) const SCORE: &str = "/synapse/v1/score";
pub(crate) const SUMMARY: &str = "/synapse/v1/summary";

/// A validator's scores as routes, for [`Api::scores`](crate::Api::scores).
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{Directory, ScoreBook, Watch, keys::Signer, testkit::Echo};
/// use synapse_http::{Api, Scores, Verifier, router};
///
/// fn api(book: Arc<dyn ScoreBook>, hotkey: Arc<dyn Signer>, members: Watch<Directory>) -> Api {
///     let verifier = Verifier::new(hotkey.address().clone(), members);
///     router(Echo::new()).scores(Scores::new(book, hotkey, verifier))
/// }
/// ```
#[must_use = "scores are told nobody until an API has them"]
pub struct Scores {
    book: Arc<dyn ScoreBook>,
    signer: Arc<dyn Signer>,
    verifier: Arc<Verifier>,
}

impl Scores {
    /// What `book` says, signed by `signer`, to those whom `verifier` knows. A request for them has no body.
    ///
    /// In its first two seconds the verifier refuses all, as it [must](Verifier#after-a-start).
    pub fn new(book: Arc<dyn ScoreBook>, signer: Arc<dyn Signer>, verifier: Verifier) -> Self {
        Self {
            book,
            signer,
            verifier: Arc::new(verifier.max_body_bytes(0)),
        }
    }
}

impl fmt::Debug for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scores")
            .field("validator", self.signer.address())
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}
