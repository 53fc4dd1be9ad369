//! Who may ask, and how that is proved.

use std::{fmt, sync::Arc, time::Duration};

use axum::{body::Body, extract::OriginalUri};
use bytes::Bytes;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use synapse_core::{Directory, Error, NodeId, Role, Stake, SystemClock, WallClock, Watch, keys::Scheme};
use tokio::time::{Instant, sleep};

use super::{
    SignedBy, Stamp,
    claim::Claim,
    refusal,
    replay::{Bounds, Refused, Replay},
    unproved::Unproved,
};
use crate::{
    digest::{hex, sha256_hex},
    router::read_raw,
};

/// How far ahead of our clock a signer's may be.
const SKEW: Duration = Duration::from_secs(2);
/// How often a clock is asked that may not be the machine's own.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How much is hashed before others get a turn.
const PIECE: usize = 256 * 1024;
const MAX_BODY: usize = 16 << 20;
const MAX_UNPROVED: usize = 256 << 20;

/// Checks that a request was signed for this node, by a member of its subnet, now, and for the first time.
///
/// It takes btauth/1 with sr25519 or ed25519, from every member, signed at most 10 s ago and at most 2 s ahead, both by this
/// node's clock and both inclusive; the body, too, must have come within the 10 s.
///
/// # After a start
/// What a node accepted before it was restarted it does not know, so it refuses all that may have been signed before: every
/// time up to its start and the 2 s that a signer may be ahead. [`opened`](Self::opened) resolves once that time is
/// over; a server with [`Api::signed`](crate::Api::signed) is not ready before.
///
/// A node has one verifier, behind an `Arc` where it serves several APIs: what was used at one door is then used at all.
#[must_use = "a verifier checks nothing until an API has it"]
pub struct Verifier {
    own: NodeId,
    directory: Watch<Directory>,
    least_stake: Stake,
    roles: Option<Vec<Role>>,
    schemes: Option<Vec<Scheme>>,
    max_body: usize,
    max_unproved: usize,
    unproved: Unproved,
    epistula: bool,
    needs_receiver: bool,
    clock: Arc<dyn WallClock>,
    started: Stamp,
    replay: Replay,
}

impl Verifier {
    /// A verifier of requests to the node with the address `own`, from the members of `directory`.
    pub fn new(own: NodeId, directory: Watch<Directory>) -> Self {
        let clock = Arc::new(SystemClock);
        let started = Stamp::of(clock.now());
        let bounds = Bounds {
            all: 262_144,
            per_caller: 65_536,
        };
        Self {
            own,
            directory,
            least_stake: Stake::default(),
            roles: None,
            schemes: None,
            max_body: MAX_BODY,
            max_unproved: MAX_UNPROVED,
            unproved: Unproved::bounded(MAX_UNPROVED, MAX_BODY),
            epistula: false,
            needs_receiver: true,
            clock,
            started,
            replay: Replay::after(started.plus(SKEW), bounds),
        }
    }

    /// Takes requests only from members with at least this stake. From all, unless set.
    pub fn min_stake(mut self, least: Stake) -> Self {
        self.least_stake = least;
        self
    }

    /// Takes requests only from members in these roles. From all, unless set.
    pub fn callers(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
        self.roles = Some(roles.into_iter().collect());
        self
    }

    /// Takes only signatures of these schemes. sr25519 and ed25519, unless set; there are no others.
    pub fn schemes(mut self, schemes: impl IntoIterator<Item = Scheme>) -> Self {
        self.schemes = Some(schemes.into_iter().collect());
        self
    }

    /// How long a body may be, in bytes as it is sent; 413 beyond. 16 MiB unless set.
    pub fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body = limit;
        self.bound_unproved()
    }

    /// How much memory bodies may take at once before their signatures are checked, which takes the whole body: 256 MiB
    /// unless set, a quarter of it for those in one member's name, and room for one body at least; 503 beyond. The first
    /// 64 KiB of each body do not count.
    pub fn max_unproved_bytes(mut self, limit: usize) -> Self {
        self.max_unproved = limit;
        self.bound_unproved()
    }

    /// Takes Epistula v2, too, which [leaves method and path unsigned](super::epistula).
    pub fn accept_epistula(mut self) -> Self {
        self.epistula = true;
        self
    }

    /// Takes requests that name no receiver, which whoever sees one can send to every other node that does. Only for
    /// clients that cannot name one.
    pub fn allow_missing_receiver(mut self) -> Self {
        self.needs_receiver = false;
        self
    }

    /// How many requests are remembered at once, in all and of one caller: 262,144 and 65,536 unless set, enough for 5,000
    /// requests a second of a caller, in some 20 MiB. Where it is full, requests are refused; nothing is forgotten early.
    pub fn replay_capacity(mut self, all: usize, per_caller: usize) -> Self {
        self.replay = self.replay.bounded(Bounds { all, per_caller });
        self
    }

    /// Tells the time by another clock, by which the node started now. The machine's, unless set.
    pub fn clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.started = Stamp::of(clock.now());
        self.replay = self.replay.reopened(self.started.plus(SKEW));
        self.clock = clock;
        self
    }

    /// Waits until requests that are signed now can be told from those of before the start: 2 s after it. Cancel safe.
    pub async fn opened(&self) {
        let opens = self.started.plus(SKEW);
        loop {
            let now = self.now();
            if now > opens {
                return;
            }
            let wait = opens.since(now) + Duration::from_millis(1);
            sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    /// Who signed the request with this head and this body, which counts as used from now on.
    ///
    /// # Errors
    /// As [the module](super) says, but for the body's bound: it is there already.
    pub fn check(&self, head: &Parts, body: &[u8]) -> Result<SignedBy, Error> {
        let (claim, signed_by) = self.vet(head)?;
        self.prove(head, &claim, &sha256_hex(body))?;
        Ok(signed_by)
    }

    /// As [`check`](Self::check), reading the body only where the head says that it is worth it.
    pub(super) async fn admit(&self, head: &Parts, body: Body) -> Result<(SignedBy, Bytes), Error> {
        let (claim, signed_by) = self.vet(head)?;
        let mut share = self.unproved.share(&claim.sender);
        let body = tokio::select! {
            biased;
            read = read_raw(&head.headers, body, self.max_body, |bytes| share.grow(bytes)) => read?,
            () = self.outlived(&claim) => return Err(refusal::too_slow(&claim, self.now())),
        };
        let mut digest = Sha256::new();
        for piece in body.chunks(PIECE) {
            digest.update(piece);
            if piece.len() == PIECE {
                tokio::task::yield_now().await;
            }
        }
        self.prove(head, &claim, &hex(&digest.finalize()))?;
        Ok((signed_by, body))
    }

    /// Resolves once a request is no longer fresh, or has had the time for it by a clock that nobody sets.
    async fn outlived(&self, claim: &Claim) {
        let longest = claim.longest_age();
        let latest = Instant::now() + longest + SKEW;
        loop {
            let age = self.now().since(claim.signed_at);
            if age > longest || Instant::now() >= latest {
                return;
            }
            let wait = longest - age + Duration::from_millis(1);
            sleep(wait.min(LOOK_AGAIN)).await;
        }
    }

    fn bound_unproved(mut self) -> Self {
        self.unproved = Unproved::bounded(self.max_unproved, self.max_body);
        self
    }

    pub(super) fn now(&self) -> Stamp {
        Stamp::of(self.clock.now())
    }

    /// Whatever can be said without the body.
    fn vet(&self, head: &Parts) -> Result<(Claim, SignedBy), Error> {
        let claim = Claim::read(&head.headers, self.epistula)?;
        if let Some(taken) = &self.schemes
            && !taken.contains(&claim.scheme)
        {
            let why = format!("this node does not take {} signatures", claim.scheme);
            return Err(refusal::malformed(why));
        }
        let for_us = match &claim.receiver {
            Some(receiver) => **receiver == *self.own.as_str(),
            None => !self.needs_receiver,
        };
        if !for_us {
            return Err(refusal::wrong_receiver(&claim, &self.own));
        }
        check_freshness(&claim, self.now())?;
        let signed_by = self.known(&claim)?;
        Ok((claim, signed_by))
    }

    /// Whom the directory knows the sender as.
    fn known(&self, claim: &Claim) -> Result<SignedBy, Error> {
        let directory = self.directory.current();
        let member = directory
            .get(&claim.sender)
            .ok_or_else(|| refusal::not_a_member(&claim.sender, directory.block()))?;
        if let Some(roles) = &self.roles
            && !roles.contains(&member.role)
        {
            return Err(refusal::not_in_a_role(member));
        }
        if member.stake < self.least_stake {
            let least = self.least_stake;
            return Err(refusal::too_little_stake(member, least, directory.block()));
        }
        Ok(SignedBy {
            node: member.node.clone(),
            role: member.role,
            stake: member.stake,
            scheme: claim.scheme,
        })
    }

    /// The signature, then whether it is used for the first time.
    fn prove(&self, head: &Parts, claim: &Claim, digest: &str) -> Result<(), Error> {
        // The body took its time, and what is too old now is not remembered.
        let now = self.now();
        check_freshness(claim, now)?;
        claim
            .check_signature(&head.method, target(head), digest)
            .map_err(|cause| refusal::bad_signature(claim, now, cause))?;
        self.replay
            .admit(&claim.sender, claim.once, claim.signed_at, now)
            .map_err(|refused| match refused {
                Refused::Seen => refusal::replayed(claim, now),
                Refused::TooEarly(floor) if floor == self.started.plus(SKEW) => {
                    refusal::before_start(claim, now, self.started, floor)
                }
                Refused::TooEarly(floor) => refusal::before_floor(claim, now, floor),
                Refused::Full => refusal::full(false, claim),
                Refused::CallerFull => refusal::full(true, claim),
            })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("own", &self.own)
            .field("least_stake", &self.least_stake)
            .field("roles", &self.roles)
            .field("schemes", &self.schemes)
            .field("max_body", &self.max_body)
            .field("max_unproved", &self.max_unproved)
            .field("epistula", &self.epistula)
            .field("needs_receiver", &self.needs_receiver)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

fn check_freshness(claim: &Claim, now: Stamp) -> Result<(), Error> {
    if now.since(claim.signed_at) > claim.longest_age() {
        return Err(refusal::too_old(claim, now));
    }
    if claim.signed_at.since(now) > SKEW {
        return Err(refusal::in_the_future(claim, now, SKEW));
    }
    Ok(())
}

/// The target as it was sent, wherever the router is nested.
fn target(head: &Parts) -> &str {
    let sent = head.extensions.get::<OriginalUri>();
    let uri = sent.map_or(&head.uri, |OriginalUri(uri)| uri);
    uri.path_and_query().map_or("/", |target| target.as_str())
}
