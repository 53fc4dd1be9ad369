//! A validator's scores, as a miner asks for them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use synapse_core::{
    EpochId, Error, ErrorKind, Member, NodeId, Reason, ScoreReport, SubnetId, SubnetSummary, keys::Signer,
};
use tokio::time::timeout;

use super::{
    Builder, OpenAiModule, call,
    sign::{Outgoing, Signing},
    transport::{Transport, collect},
};
use crate::{
    headers::SIGNATURE,
    scores::{Attested, SCORE, SUMMARY, check_report, check_summary},
};

/// The longest reply, in bytes, and the longest wait for all of it. Evidence of 65 callers and of probes, each with times and
/// speeds in all 580 buckets from a millisecond to five minutes, at 10 bytes each, beside 64 claims takes four fifths of it.
const LIMITS: (usize, Duration) = (1 << 20, Duration::from_secs(10));
/// The most reasons for a score. The standard policy has one for each claim, of which 64 are told apart, and a few more.
const MOST_REASONS: usize = 256;
/// The longest code or text of one, in bytes.
const LONGEST_REASON: usize = 4096;

/// Asks a validator for one's own [score](crate::scores), and believes this validator and no other.
///
/// Who that is, the subnet's directory says, or somebody who knows. Whoever serves at its address can't: he could relay what
/// one asks to a validator of whom he has a signed summary, and read the reply.
///
/// ```no_run
/// use synapse_core::{NodeId, SubnetId, keys::Keypair};
/// use synapse_http::ScoresClient;
///
/// # async fn why(validator: NodeId, hotkey: Keypair) -> Result<(), synapse_core::Error> {
/// let client = ScoresClient::new("https://validator.example.com", validator, hotkey).subnet(SubnetId(7));
/// let said = client.report(None).await?;
/// for reason in &said.value().reasons {
///     println!("{}: {}", reason.code, reason.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ScoresClient {
    settings: Builder,
    signing: Arc<Signing>,
    own: NodeId,
    validator: NodeId,
    subnet: Option<SubnetId>,
    /// Made for the first question, and shared with clones: it reads the machine's certificate store.
    transport: Arc<OnceLock<(Transport, Duration)>>,
}

impl ScoresClient {
    /// Asks `validator`, whose API is at `url`, with or without `/v1`, for the scores of the miner who signs with `signer`.
    #[must_use]
    pub fn new(url: impl Into<String>, validator: NodeId, signer: impl Signer) -> Self {
        Self {
            settings: OpenAiModule::builder(url),
            own: signer.address().clone(),
            signing: Arc::new(Signing::new(Arc::new(signer))),
            validator,
            subnet: None,
            transport: Arc::default(),
        }
    }

    /// Asks a validator at the address that the subnet's directory has of it. What a member wrote is not trusted: only public
    /// addresses are dialled, over `https` with an ordinary certificate, unless [`with`](Self::with) allows loopback, private
    /// addresses or plain HTTP.
    ///
    /// # Errors
    /// `no_endpoint` where the directory has none.
    pub fn listed(validator: &Member, signer: impl Signer) -> Result<Self, Error> {
        let node = &validator.node;
        let endpoint = validator.endpoint.as_ref().ok_or_else(|| {
            Error::unavailable("no_endpoint", format!("{node} does not say where it serves"))
        })?;
        Ok(
            Self::new(endpoint.to_string(), node.clone(), signer)
                .with(|builder| builder.listed(node.clone())),
        )
    }

    /// Takes nothing that is said of another subnet. Of any, unless set.
    #[must_use]
    pub fn subnet(self, subnet: SubnetId) -> Self {
        Self {
            subnet: Some(subnet),
            ..self
        }
    }

    /// The same with other settings of the connection. Whatever they say, a reply may take 10 s and 1 MiB.
    #[must_use]
    pub fn with(self, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self {
            settings: change(self.settings),
            transport: Arc::default(),
            ..self
        }
    }

    /// One's own report; of the last epoch that was scored where `epoch` names none.
    ///
    /// # Errors
    /// `no_such_epoch` and `unknown_miner`; `bad_signature` where it is not the validator's, `wrong_report` where it is of
    /// another miner, epoch or subnet, `invalid_report` where it cannot be read or gives more than 256 reasons or one longer
    /// than 4 KiB; where the validator cannot be reached, takes more than 10 s, or refuses who asks.
    pub async fn report(&self, epoch: Option<EpochId>) -> Result<Attested<ScoreReport>, Error> {
        let path = match epoch {
            Some(epoch) => format!("{SCORE}?epoch={epoch}"),
            None => SCORE.to_owned(),
        };
        let (transport, limit) = self.transport()?;
        let (signing, clock) = (self.signing.clone(), self.settings.clock());
        let outgoing = Outgoing::new(signing, self.validator.clone(), clock)?;
        let (body, signature) = get(&transport.signed(outgoing), limit, &path).await?;
        let said = check_report(body, &signature)?;
        let report = said.value();
        self.check(&report.validator, report.subnet)?;
        if report.miner != self.own || epoch.is_some_and(|epoch| epoch != report.epoch) {
            return Err(wrong_report(format!(
                "{} sent a report of epoch {} about {}, which nobody asked for",
                self.validator, report.epoch, report.miner
            )));
        }
        check_reasons(&report.reasons)?;
        Ok(said)
    }

    /// How the subnet's miners do, as the validator says.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub async fn summary(&self) -> Result<Attested<SubnetSummary>, Error> {
        let (transport, limit) = self.transport()?;
        let (body, signature) = get(&transport, limit, SUMMARY).await?;
        let said = check_summary(body, &signature)?;
        self.check(&said.value().validator, said.value().subnet)?;
        Ok(said)
    }

    /// The connections, and how long a reply may take.
    fn transport(&self) -> Result<(Transport, Duration), Error> {
        if let Some(made) = self.transport.get() {
            return Ok(made.clone());
        }
        let (transport, settings) = self.settings.clone().transport()?;
        let limit = settings.head_timeout.min(LIMITS.1);
        Ok(self.transport.get_or_init(|| (transport, limit)).clone())
    }

    /// Whether it is the validator's own word, of the subnet.
    fn check(&self, signed_by: &NodeId, subnet: SubnetId) -> Result<(), Error> {
        check_validator(&self.validator, signed_by)?;
        match self.subnet {
            Some(own) if own != subnet => Err(wrong_report(format!(
                "{signed_by} speaks of subnet {subnet}, and was asked about subnet {own}"
            ))
            .with_hint("check which subnet the validator at this address is of")),
            _ => Ok(()),
        }
    }
}

fn wrong_report(what: String) -> Error {
    Error::broken("wrong_report", what)
}

fn check_reasons(reasons: &[Reason]) -> Result<(), Error> {
    let too_long = |reason: &Reason| reason.code.len().max(reason.text.len()) > LONGEST_REASON;
    if reasons.len() <= MOST_REASONS && !reasons.iter().any(too_long) {
        return Ok(());
    }
    Err(Error::broken(
        "invalid_report",
        format!("a score has more than {MOST_REASONS} reasons, or one longer than {LONGEST_REASON} bytes"),
    ))
}

fn check_validator(expected: &NodeId, found: &NodeId) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Broken,
        "bad_signature",
        format!("scores of {expected} are expected, and {found} signed these"),
    )
    .with_hint("check the validator's address, and that the one at this URL is it"))
}

async fn get(transport: &Transport, limit: Duration, path: &str) -> Result<(Bytes, String), Error> {
    let base = transport.base();
    let request = transport.request(Method::GET, path)?;
    let answer = async {
        let response = transport.send(request, base).await?;
        if !response.status().is_success() {
            return Err(call::refused(response).await);
        }
        let signature = response.headers().get(SIGNATURE);
        let signature = signature
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let signature = signature.to_owned();
        Ok((collect(response, LIMITS.0).await?, signature))
    };
    let late = |_| {
        let message = format!("{base}{path} did not answer within {limit:?}");
        Error::new(ErrorKind::Timeout, "head_timeout", message)
    };
    timeout(limit, answer).await.map_err(late)?
}
