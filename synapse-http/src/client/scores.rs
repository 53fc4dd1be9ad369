//! A validator's scores, as a miner asks for them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use synapse_core::{EpochId, Error, ErrorKind, Member, NodeId, ScoreReport, SubnetSummary, keys::Signer};
use tokio::time::timeout;

use super::{
    Builder, OpenAiModule, call,
    sign::{Outgoing, Signing},
    transport::collect,
};
use crate::{
    headers::SIGNATURE,
    scores::{Attested, SCORE, SUMMARY, check_report, check_summary},
};

/// The longest reply, in bytes, and the longest wait for all of it.
const LIMITS: (usize, Duration) = (4 << 20, Duration::from_secs(10));

/// Asks a validator for one's own [score](crate::scores), and checks that it is the validator who answers.
///
/// ```no_run
/// use synapse_core::keys::Keypair;
/// use synapse_http::ScoresClient;
///
/// # async fn why(hotkey: Keypair) -> Result<(), synapse_core::Error> {
/// let said = ScoresClient::new("https://validator.example.com", hotkey).report(None).await?;
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
    validator: Option<NodeId>,
}

impl ScoresClient {
    /// Asks the validator whose API is at `url`, with or without `/v1`, for the scores of the miner who signs with `signer`.
    #[must_use]
    pub fn new(url: impl Into<String>, signer: impl Signer) -> Self {
        Self {
            settings: OpenAiModule::builder(url),
            own: signer.address().clone(),
            signing: Arc::new(Signing::new(Arc::new(signer))),
            validator: None,
        }
    }

    /// Asks a validator at the address that the subnet's directory has of it, and believes no other. What a member wrote is
    /// not trusted: only public addresses are dialled, over `https` with an ordinary certificate, unless
    /// [`with`](Self::with) allows loopback, private addresses or plain HTTP.
    ///
    /// # Errors
    /// `no_endpoint` where the directory has none.
    pub fn listed(validator: &Member, signer: impl Signer) -> Result<Self, Error> {
        let node = &validator.node;
        let endpoint = validator.endpoint.as_ref().ok_or_else(|| {
            Error::unavailable("no_endpoint", format!("{node} does not say where it serves"))
        })?;
        Ok(Self::new(endpoint.to_string(), signer)
            .validator(node.clone())
            .with(|builder| builder.listed(node.clone())))
    }

    /// Believes this validator and no other. Unless set, it is whoever signs the [`summary`](Self::summary): whether that
    /// is a validator at all, the subnet's directory says.
    #[must_use]
    pub fn validator(mut self, validator: NodeId) -> Self {
        self.validator = Some(validator);
        self
    }

    /// The same with other settings of the connection. Whatever they say, a reply may take 10 s and 4 MiB.
    #[must_use]
    pub fn with(self, change: impl FnOnce(Builder) -> Builder) -> Self {
        Self {
            settings: change(self.settings),
            ..self
        }
    }

    /// One's own report; of the last epoch that was scored where `epoch` names none.
    ///
    /// # Errors
    /// `no_such_epoch` and `unknown_miner`; `bad_signature` where it is not the validator's, `wrong_report` where it is of
    /// another miner or epoch; where the validator cannot be reached, takes more than 10 s, or refuses who asks.
    pub async fn report(&self, epoch: Option<EpochId>) -> Result<Attested<ScoreReport>, Error> {
        let validator = match &self.validator {
            Some(validator) => validator.clone(),
            None => self.summary().await?.value().validator.clone(),
        };
        let path = match epoch {
            Some(epoch) => format!("{SCORE}?epoch={epoch}"),
            None => SCORE.to_owned(),
        };
        let settings = self.settings.clone();
        let outgoing = Outgoing::new(self.signing.clone(), validator.clone(), settings.clock())?;
        let (body, signature) = get(settings.signed(outgoing), &path).await?;
        let said = check_report(body, &signature)?;
        let report = said.value();
        check_validator(&validator, &report.validator)?;
        if report.miner != self.own || epoch.is_some_and(|epoch| epoch != report.epoch) {
            return Err(Error::broken(
                "wrong_report",
                format!(
                    "{validator} sent a report of epoch {} about {}, which nobody asked for",
                    report.epoch, report.miner
                ),
            ));
        }
        Ok(said)
    }

    /// How the subnet's miners do, as the validator says.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub async fn summary(&self) -> Result<Attested<SubnetSummary>, Error> {
        let (body, signature) = get(self.settings.clone(), SUMMARY).await?;
        let said = check_summary(body, &signature)?;
        if let Some(expected) = &self.validator {
            check_validator(expected, &said.value().validator)?;
        }
        Ok(said)
    }
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

async fn get(settings: Builder, path: &str) -> Result<(Bytes, String), Error> {
    let (transport, settings) = settings.transport()?;
    let limit = settings.head_timeout.min(LIMITS.1);
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
