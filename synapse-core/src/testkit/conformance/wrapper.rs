//! Modules around modules: that all six methods get through.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Report,
    probe::{Method, Probe},
    replies::{answered, contents},
    report::{Failure, Record, Verdict},
    subject::{Answer, Fault, Subject},
};
use crate::{HealthStatus, InferenceModule, Input, Message};

const PATIENCE: Duration = Duration::from_secs(10);

/// Checks that a module around another forwards all six methods, what they return, and cancellation.
///
/// `wrap` is called three times: around a module that answers, one that fails, and one that never answers.
///
/// ```
/// use std::sync::Arc;
/// use synapse_core::{layers::ConcurrencyLayer, testkit, ModuleExt};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// testkit::conformance_of_wrapper(|inner| Arc::new(inner.with(ConcurrencyLayer::new(4)))).await.assert();
/// # });
/// ```
pub async fn conformance_of_wrapper<W: InferenceModule>(wrap: impl Fn(Probe) -> W) -> Report {
    let mut record = Record::default();
    record.set_title(std::any::type_name::<W>().to_owned());
    forwards(&wrap, &mut record).await;
    reports_failures(&wrap, &mut record).await;
    record.put("passes_on_cancellation", cancels(&wrap).await);
    record.into_report()
}

async fn forwards<W: InferenceModule>(wrap: &impl Fn(Probe) -> W, record: &mut Record) {
    let probe = Probe::default();
    let subject = Subject::new(wrap(probe.clone()), PATIENCE);
    let module = subject.module();
    let arrived = |method: Method, name: &str| -> Verdict {
        if probe.calls(method) > 0 {
            return Ok(());
        }
        Err(Failure::new(
            format!("{name} to reach the module inside"),
            "it did not",
            "forward all six methods, also those with a default",
        ))
    };

    let _ = subject.call("initialize", module.initialize()).await;
    record.put("forwards_initialize", arrived(Method::Initialize, "initialize"));
    let _ = subject.call("health_check", module.health_check()).await;
    record.put(
        "forwards_health_check",
        arrived(Method::HealthCheck, "health_check"),
    );

    let knows_model = subject
        .capabilities()
        .is_ok_and(|claims| claims.model(Probe::MODEL).is_some());
    let verdict = arrived(Method::GetCapabilities, "get_capabilities").and(if knows_model {
        Ok(())
    } else {
        Err(Failure::new(
            "the capabilities of the module inside",
            "its model is missing",
            "change what the module inside claims, rather than claim anew",
        ))
    });
    record.put("forwards_get_capabilities", verdict);

    let (verdict, reply) = answered(subject.ask(question()).await);
    let verdict = arrived(Method::RunInference, "run_inference").and(verdict);
    record.put("forwards_run_inference", verdict);
    let whole = reply.is_some_and(|reply| reply.broken.is_none() && contents(&reply) == 1);
    record.put(
        "forwards_the_reply",
        if whole {
            Ok(())
        } else {
            Err(Failure::new(
                "the reply of the module inside, to its end",
                "another",
                "hand the body on, with taps and transforms on it",
            ))
        },
    );

    let counted = subject
        .ask_at_once("get_metrics", W::get_metrics)
        .is_ok_and(|metrics| metrics.get(Probe::COUNTER, &[]).is_some());
    let verdict = arrived(Method::GetMetrics, "get_metrics").and(if counted {
        Ok(())
    } else {
        Err(Failure::new(
            "the metrics of the module inside",
            "they are missing",
            "add to what the module inside counted",
        ))
    });
    record.put("forwards_get_metrics", verdict);

    let _ = subject.call("shutdown", module.shutdown()).await;
    record.put("forwards_shutdown", arrived(Method::Shutdown, "shutdown"));
}

/// A failure inside is a failure outside.
async fn reports_failures<W: InferenceModule>(wrap: &impl Fn(Probe) -> W, record: &mut Record) {
    let subject = Subject::new(wrap(Probe::failing()), PATIENCE);
    let module = subject.module();
    let told = |what: &str, told: bool| -> Verdict {
        if told {
            return Ok(());
        }
        Err(Failure::new(
            format!("a failure of {what} inside to come out"),
            "it was swallowed",
            "return what the module inside returned",
        ))
    };
    let answer = subject.ask(question()).await;
    let failed = matches!(answer, Ok(Answer::Refused(_)));
    record.put("reports_failed_requests", told("run_inference", failed));
    let health = subject.call("health_check", module.health_check()).await;
    let bad = !matches!(health, Ok(Ok(health)) if health.status() == HealthStatus::Ready);
    record.put("reports_bad_health", told("health_check", bad));
    let start = subject.call("initialize", module.initialize()).await;
    record.put(
        "reports_failed_initialize",
        told("initialize", !matches!(start, Ok(Ok(())))),
    );
    let end = subject.call("shutdown", module.shutdown()).await;
    record.put(
        "reports_failed_shutdown",
        told("shutdown", !matches!(end, Ok(Ok(())))),
    );
}

async fn cancels<W: InferenceModule>(wrap: &impl Fn(Probe) -> W) -> Verdict {
    let probe = Probe::hanging();
    let subject = Subject::new(wrap(probe.clone()), PATIENCE);
    let left: Result<Result<_, Fault>, _> = timeout(Duration::from_millis(1), subject.open(question())).await;
    drop(left);
    match probe.running() {
        0 => Ok(()),
        running => Err(Failure::new(
            "a dropped call to drop the call inside",
            format!("{running} still running"),
            "await the call inside rather than spawn it, or abort what is spawned",
        )),
    }
}

fn question() -> Input {
    Input::chat(Probe::MODEL, [Message::user("Are you there?")])
}
