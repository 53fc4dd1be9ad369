//! A validator's questions.

use std::{sync::Arc, time::Duration};

use synapse_core::{
    HealthStatus, INTERFACE, InferenceModule, ModuleCapabilities,
    probe::{Answer, Claim, Finding, Probe, Questions, Verdict, ask},
};
use tokio::time::timeout;

use super::{Check, Preflight, Report, door::Entered, host::Own, speed};

/// Models that are asked; nobody waits for hundreds.
const MODELS: usize = 16;
/// Tries, where a reply may be too short to tell.
const TRIES: u64 = 3;
/// How long the node may take to say how it is.
const LOOKING: Duration = Duration::from_secs(10);
/// Questions that repeat from run to run, so that an operator sees what he changed.
const SEED: u64 = 0x005e_ed0f_a111;

/// What is claimed, and whom to ask for it.
pub(super) struct Claims {
    pub(super) module: Arc<dyn InferenceModule>,
    pub(super) capabilities: ModuleCapabilities,
    pub(super) questions: Questions,
}

/// What a validator's pool knows of the node; the engine itself where no validator would reach it.
///
/// # Errors
/// Why nobody can be asked.
pub(super) async fn capabilities(
    entered: &Entered,
    own: Option<&Own>,
    report: &mut Report,
) -> Result<Claims, String> {
    const NAME: &str = "capabilities";
    let engine = own.and_then(|own| own.engine.as_ref());
    let (module, why) = match (&entered.module, engine) {
        (Ok(module), _) => (module, None),
        (Err(why), Some(engine)) => (engine, Some(why)),
        (Err(why), None) => {
            report.add(Check::skipped(NAME, why));
            return Err(why.clone());
        }
    };
    let capabilities = module.get_capabilities();
    let mut wrong = empty(&capabilities);
    if !capabilities
        .interfaces
        .iter()
        .any(|version| version.major == INTERFACE.major)
    {
        wrong.push(format!(
            "it speaks no module interface that is compatible with {INTERFACE}"
        ));
    }
    if let (None, Some(engine)) = (why, engine) {
        wrong.extend(differs(&engine.get_capabilities(), &capabilities));
    }
    match timeout(LOOKING, module.health_check()).await {
        Ok(Ok(health)) if health.status() == HealthStatus::Unhealthy => {
            wrong.push(format!(
                "it is not healthy: {}",
                health.reason().unwrap_or("it does not say why")
            ));
        }
        Ok(Err(error)) => wrong.push(format!("it does not say how it is: {}", error.message())),
        Err(_) => wrong.push("it does not say in time how it is".to_owned()),
        Ok(Ok(_)) => {}
    }
    report.add(match (wrong.is_empty(), why) {
        (false, _) => {
            Check::failed(NAME, wrong.join("; ")).hint("look at what the engine says that it serves")
        }
        (true, Some(why)) => Check::skipped(
            NAME,
            format!("{why}, so the engine is asked directly from here on"),
        ),
        (true, None) => {
            let models: Vec<&str> = capabilities
                .models
                .iter()
                .take(MODELS)
                .map(|model| &*model.id)
                .collect();
            Check::passed(NAME, format!("it claims {}", models.join(", ")))
        }
    });
    Ok(Claims {
        module: module.clone(),
        capabilities,
        questions: Questions::new(SEED),
    })
}

fn empty(capabilities: &ModuleCapabilities) -> Vec<String> {
    let mut wrong = Vec::new();
    if capabilities.tasks.is_empty() {
        wrong.push("it claims no task".to_owned());
    }
    if capabilities.models.is_empty() {
        wrong.push("it claims no model".to_owned());
    }
    wrong
}

/// What validators see otherwise than the engine says it.
fn differs(engine: &ModuleCapabilities, seen: &ModuleCapabilities) -> Option<String> {
    if engine.models != seen.models {
        return Some(
            "validators see other models than the engine claims: another program answers".to_owned(),
        );
    }
    (engine.tasks != seen.tasks || engine.streaming != seen.streaming)
        .then(|| "validators see other tasks than the engine claims: another program answers".to_owned())
}

/// Asks what there is to ask, and says what the answers show.
pub(super) async fn questions(preflight: &Preflight, claims: Result<Claims, String>, report: &mut Report) {
    let mut claims = match claims {
        Ok(claims) => claims,
        Err(why) => {
            report.add(Check::skipped("models", &*why));
            skip_the_rest(&why, report);
            return;
        }
    };
    let mut answers = Vec::new();
    models(&mut claims, &mut answers, report).await;
    if claims.capabilities.models.is_empty() {
        skip_the_rest("no model that is claimed answers", report);
        return;
    }
    context(&claims, report).await;
    streaming(&claims, &mut answers, report).await;
    errors(&claims, report).await;
    speed::check(&claims, answers, preflight.summary.as_ref(), report).await;
}

fn skip_the_rest(why: &str, report: &mut Report) {
    for name in ["context", "streaming", "errors", "speed"] {
        report.add(Check::skipped(name, why));
    }
}

impl Claims {
    /// Asks about `claim`; `None` where there is no such question.
    pub(super) async fn ask(&self, claim: &Claim, number: u64) -> Option<(Probe, Answer)> {
        let probe = self.questions.about(&self.capabilities, claim, number)?;
        let answer = ask(&*self.module, probe.input.clone(), probe.limit).await;
        Some((probe, answer))
    }
}

/// Asks each model once, and leaves those out from here on that do not answer: one fault is named once.
async fn models(claims: &mut Claims, answers: &mut Vec<Answer>, report: &mut Report) {
    const NAME: &str = "models";
    let (mut wrong, mut asked, mut served) = (Vec::new(), 0, Vec::new());
    for model in claims.capabilities.models.iter().take(MODELS) {
        let claim = Claim::Model(model.id.clone());
        let Some((probe, answer)) = claims.ask(&claim, 0).await else {
            continue;
        };
        asked += 1;
        match (broken(&probe.judge(&answer), &claim), &answer.error) {
            (Some(why), _) => wrong.push(why),
            (None, Some(error)) => {
                wrong.push(format!("{}: {} ({})", model.id, error.message(), error.code()));
            }
            (None, None) => {
                served.push(model.clone());
                answers.push(answer);
            }
        }
    }
    let all = claims.capabilities.models.len();
    claims.capabilities.models = served;
    report.add(match () {
        () if !wrong.is_empty() => Check::failed(NAME, wrong.join("; "))
            .hint("claim only what the engine has: load the model, or take it off the list"),
        () if asked == 0 => Check::skipped(NAME, "nothing is claimed that there is a question for"),
        () if asked < all => Check::warning(NAME, format!("{asked} of {all} models were asked, and answer")),
        () => Check::passed(NAME, format!("all that are claimed answer: {asked}")),
    });
}

async fn context(claims: &Claims, report: &mut Report) {
    const NAME: &str = "context";
    let (mut wrong, mut open, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for model in claims.capabilities.models.iter().take(MODELS) {
        let Some(tokens) = model.context_length else {
            continue;
        };
        let claim = Claim::Context(model.id.clone(), tokens);
        let Some((probe, answer)) = claims.ask(&claim, 0).await else {
            continue;
        };
        match (broken(&probe.judge(&answer), &claim), &answer.error) {
            (Some(why), _) => wrong.push(format!("{claim}: {why}")),
            (None, Some(error)) => open.push(format!("{claim}: {} ({})", error.message(), error.code())),
            (None, None) => kept.push(claim.to_string()),
        }
    }
    report.add(match () {
        () if !wrong.is_empty() => Check::failed(NAME, wrong.join("; ")).hint(
            "claim the context that the engine was started with, or start it with the one that is claimed",
        ),
        () if !open.is_empty() => Check::warning(NAME, format!("it could not be told: {}", open.join("; ")))
            .hint("validators count such failures, too"),
        () if kept.is_empty() => Check::skipped(NAME, "none is claimed that there is a question for"),
        () => Check::passed(NAME, format!("to half of it at least: {}", kept.join(", "))),
    });
}

async fn streaming(claims: &Claims, answers: &mut Vec<Answer>, report: &mut Report) {
    const NAME: &str = "streaming";
    if !claims.capabilities.streaming {
        report.add(Check::warning(
            NAME,
            "none is claimed: users who stream wait for the whole reply",
        ));
        return;
    }
    let mut check = Check::skipped(NAME, "there is no question for what is claimed");
    for number in 0..TRIES {
        let Some((probe, answer)) = claims.ask(&Claim::Streaming, number).await else {
            break;
        };
        let found = probe.judge(&answer);
        if let Some(error) = &answer.error {
            check = Check::of(NAME, error);
            break;
        }
        if let Some(why) = broken(&found, &Claim::Streaming) {
            check = Check::failed(NAME, why)
                .hint("let the engine send tokens as it makes them, and no proxy hold them back");
            break;
        }
        let told = found.iter().any(|finding| finding.claim == Claim::Streaming);
        check = match told {
            true => Check::passed(
                NAME,
                format!("a reply came in {} pieces, as it was made", answer.chunks),
            ),
            false => Check::warning(
                NAME,
                "it could not be told: the replies are too short, or too quick",
            ),
        };
        answers.push(answer);
        if told {
            break;
        }
    }
    report.add(check);
}

async fn errors(claims: &Claims, report: &mut Report) {
    const NAME: &str = "errors";
    let Some((probe, answer)) = claims.ask(&Claim::Errors, 0).await else {
        report.add(Check::skipped(NAME, "there is no question for what is claimed"));
        return;
    };
    let found = probe.judge(&answer);
    report.add(match (broken(&found, &Claim::Errors), &answer.error) {
        (Some(why), _) => Check::failed(NAME, why)
            .hint("refuse a model that is not served: who asks would take another one's words for its own"),
        (None, Some(_)) if !found.is_empty() => {
            Check::passed(NAME, "a model that is not served is refused as unknown")
        }
        (None, Some(error)) => {
            Check::of(NAME, error).hint("refuse what is wrong as the caller's fault: 400, 404, 422")
        }
        (None, None) => Check::skipped(NAME, "it could not be told"),
    });
}

/// Why a claim is found to be wrong, where it is.
fn broken(found: &[Finding], claim: &Claim) -> Option<String> {
    found.iter().find_map(|finding| match &finding.verdict {
        Verdict::Broken(why) if finding.claim == *claim => Some(why.clone()),
        _ => None,
    })
}
