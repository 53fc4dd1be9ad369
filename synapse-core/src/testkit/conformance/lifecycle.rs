//! From `initialize` to `shutdown`.

use super::{
    questions::Questions,
    report::{Failure, Record, Verdict},
    subject::{Fault, Subject},
};
use crate::{Error, HealthStatus, InferenceModule, ModuleCapabilities};

/// Whether the module can be asked anything at all.
pub(super) async fn start<M: InferenceModule>(subject: &Subject<M>, record: &mut Record) -> bool {
    let module = subject.module();
    let first = done(
        "initialize to succeed",
        subject.call("initialize", module.initialize()).await,
        "make initialize leave the module able to answer, or say in its error what is missing",
    );
    let ok = first.is_ok();
    record.put("initialize_succeeds", first);
    if ok {
        record.put(
            "initialize_is_idempotent",
            done(
                "a second initialize to succeed and change nothing",
                subject.call("initialize", module.initialize()).await,
                "return Ok where the module is initialised already: whoever owns it may call twice",
            ),
        );
    }
    ok
}

/// What the module says of itself, once initialised.
pub(super) async fn health<M: InferenceModule>(
    subject: &Subject<M>,
    claims: &ModuleCapabilities,
    record: &mut Record,
) {
    let health = match subject
        .call("health_check", subject.module().health_check())
        .await
    {
        Ok(Ok(health)) => health,
        other => {
            let verdict = done(
                "a health",
                other.map(|result| result.map(drop)),
                "health_check says how the module is without waiting for anything; unhealthy is an Ok too",
            );
            record.put("health_is_told", verdict);
            return;
        }
    };
    record.put("health_is_told", Ok(()));
    let verdict = match (claims.models.is_empty(), health.status()) {
        (true, HealthStatus::Ready) => Err(Failure::new(
            "a module without a model not to be ready",
            "it declares no model and says that it is ready",
            "say unhealthy until a model is loaded, or declare the models that load on demand",
        )),
        (false, HealthStatus::Unhealthy) => Err(Failure::new(
            "a module with a model to serve once it is initialised",
            format!("unhealthy: {}", health.reason().unwrap_or("without a reason")),
            "have initialize fail where the module cannot serve",
        )),
        (_, HealthStatus::Degraded | HealthStatus::Unhealthy)
            if health.reason().is_none_or(str::is_empty) =>
        {
            Err(Failure::new(
                "a reason with a health that is not ready",
                "none",
                "say why",
            ))
        }
        _ => Ok(()),
    };
    record.put("ready_only_with_a_model", verdict);
}

/// Shutdown, twice, and a request after it.
pub(super) async fn end<M: InferenceModule>(
    subject: &Subject<M>,
    questions: &Questions,
    record: &mut Record,
) {
    let module = subject.module();
    record.put(
        "shutdown_succeeds",
        done(
            "shutdown to succeed",
            subject.call("shutdown", module.shutdown()).await,
            "give back what the module holds; what could not be given back is the only error",
        ),
    );
    record.put(
        "shutdown_is_idempotent",
        done(
            "a second shutdown to succeed and change nothing",
            subject.call("shutdown", module.shutdown()).await,
            "return Ok where the module is shut down already",
        ),
    );
    let Some(input) = questions.any() else { return };
    record.put(
        "ends_requests_after_shutdown",
        match subject.ask(input).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(Failure::new(
                "a request after shutdown to be refused or answered",
                fault,
                "refuse it with Error::unavailable: a request must never wait for what is gone",
            )),
        },
    );
}

/// Whether anything panicked, at any time.
pub(super) fn panics<M: InferenceModule>(subject: &Subject<M>, record: &mut Record) {
    let panics = subject.observed_panics();
    record.put(
        "never_panics",
        match panics.first() {
            None => Ok(()),
            Some(first) => Err(Failure::new(
                "no panic",
                format!("{} of them, the first in {first}", panics.len()),
                "return an Error: a panic costs the caller the reason, and may cost others their requests",
            )),
        },
    );
}

fn done(expected: &str, result: Result<Result<(), Error>, Fault>, advice: &'static str) -> Verdict {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(expected, format!("the error {error:?}"), advice)),
        Err(fault) => Err(Failure::new(expected, fault, advice)),
    }
}
