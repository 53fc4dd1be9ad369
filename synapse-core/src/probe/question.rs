//! The questions.

use std::time::Duration;

use super::{Claim, random::Random, words};
use crate::{Input, ModelInfo, ModuleCapabilities, Params, Prompt, Request, Task};

/// Most bytes of a prompt that fills a context.
const LONGEST: usize = 192 * 1024;
/// A model's name that is longer is none that anybody asks for.
const LONGEST_NAME: usize = 256;
/// A context that is shorter than this is not worth a question of its own.
const SHORTEST_CONTEXT: u32 = 256;
/// Tokens of a chat template, of the question itself, and of a tokenizer that splits a word more than others.
const TEMPLATE: u32 = 96;
/// Questions in which each special one comes once.
const ROUND: u64 = 8;
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);
/// As long as that of a prompt that fills a context.
const LONGEST_LIMIT: Duration = Duration::from_secs(300);

/// One question, and what its answer is held against.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// A word for logs and tables: `chat`, `completion`, `embeddings`, `context`, `streaming`, `errors`, or one of your own.
    pub name: &'static str,
    /// What is asked.
    pub input: Input,
    /// How long its answer may take.
    pub limit: Duration,
    /// What its answer is held against, beside that the model is served.
    pub(super) claim: Option<Claim>,
}

impl Probe {
    /// A question of your own. Its answer shows whether the model is served, and no more.
    #[must_use]
    pub fn new(name: &'static str, input: Input, limit: Duration) -> Self {
        Self {
            name,
            input,
            limit,
            claim: None,
        }
    }

    /// The same with a claim that its answer is held against.
    #[must_use]
    pub fn about(mut self, claim: Claim) -> Self {
        self.claim = Some(claim);
        self
    }
}

/// The questions that a member's capabilities give rise to, one after the other.
///
/// Mostly short chats as users send them; of every eight, one that is as long as half of the claimed context, one that must
/// be streamed, one that must be refused, each where that is claimed. All models that are claimed take their turns. Which
/// comes when follows from `seed`, so that a run can be repeated; with a seed that nobody else knows, nobody knows what comes.
///
/// # What they cannot show
/// A context is filled to half with words that are one token each in common vocabularies, so that an honest member surely
/// takes it: a claim is found out once it is twice what is true. A prompt has 192 KiB at most, some 45,000 tokens, so of a
/// context beyond 90,000 they show that much. An engine that silently cuts a prompt off, rather than refuse it, is not seen:
/// nothing here reads what an answer says.
///
/// # Who can tell them from a user's
/// Each question has names, numbers, words or code in it that are made up from the seed, so that nobody can have a list of
/// them, and no two members are asked the same. Who reads each prompt with a classifier of his own still finds signs: the
/// made-up words, the tone, few tokens asked for, a body written by one program where users have many. A context is filled
/// with words that make no sense, and a request that must be refused names a model that nobody claims, which no user's does
/// that comes through a pool. Whoever answers those two better than users' shows that he can keep the claim, and no more;
/// whoever answers the others better is found by what users see, where a policy looks at it.
#[derive(Debug, Clone)]
pub struct Questions {
    seed: u64,
}

impl Questions {
    /// Questions in an order that follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The `number`th question to a member with these capabilities; `None` where it claims nothing that can be asked.
    #[must_use]
    pub fn ask(&self, capabilities: &ModuleCapabilities, number: u64) -> Option<Probe> {
        let model = self.turn(capabilities, number)?;
        let claim = match self.place(number) {
            0 => model
                .context_length
                .map(|tokens| Claim::Context(model.id.clone(), tokens)),
            1 => Some(Claim::Streaming),
            2 => Some(Claim::Errors),
            _ => None,
        };
        claim
            .and_then(|claim| self.make(capabilities, model, &claim, number))
            .or_else(|| self.make(capabilities, model, &Claim::Model(model.id.clone()), number))
    }

    /// A question whose answer shows whether `claim` is true, another one for each `number`; `None` where the capabilities
    /// do not claim it, or it cannot be asked.
    #[must_use]
    pub fn about(&self, capabilities: &ModuleCapabilities, claim: &Claim, number: u64) -> Option<Probe> {
        let model = match claim {
            Claim::Model(id) => capabilities.model(id)?,
            Claim::Context(id, tokens) => capabilities
                .model(id)
                .filter(|model| model.context_length == Some(*tokens))?,
            _ => self.turn(capabilities, number)?,
        };
        has_name(model).then_some(())?;
        self.make(capabilities, model, claim, number)
    }

    /// Whose turn it is.
    fn turn<'a>(&self, capabilities: &'a ModuleCapabilities, number: u64) -> Option<&'a ModelInfo> {
        let named = || capabilities.models.iter().filter(|model| has_name(model));
        let count = u64::try_from(named().count()).ok().filter(|count| *count > 0)?;
        let first = Random::of(self.seed, u64::MAX).next() % count;
        let at = (first + number % count) % count;
        named().nth(usize::try_from(at).ok()?)
    }

    /// At which place of its round a number comes: the rounds are shuffled, each in its own way.
    fn place(&self, number: u64) -> u64 {
        let mut random = Random::of(!self.seed, number / ROUND);
        let mut places: [u64; 8] = std::array::from_fn(|place| place as u64);
        for last in (1..places.len()).rev() {
            places.swap(last, random.below(last + 1));
        }
        usize::try_from(number % ROUND).map_or(0, |at| places[at])
    }

    fn make(
        &self,
        capabilities: &ModuleCapabilities,
        model: &ModelInfo,
        claim: &Claim,
        number: u64,
    ) -> Option<Probe> {
        let task = [Task::CHAT, Task::TEXT_COMPLETION, Task::EMBEDDINGS]
            .into_iter()
            .find(|task| capabilities.tasks.contains(task))?;
        let writes = task != Task::EMBEDDINGS;
        let mut random = Random::of(self.seed, number);
        let random = &mut random;
        let probe = match claim {
            Claim::Model(id) => {
                let name = match () {
                    () if task == Task::CHAT => "chat",
                    () if writes => "completion",
                    () => "embeddings",
                };
                Probe::new(name, usual(random, task, model, id), LIMIT)
            }
            Claim::Context(id, tokens) if writes && *tokens >= SHORTEST_CONTEXT => {
                let words = (*tokens / 2).saturating_sub(TEMPLATE) as usize;
                let text = words::long_text(random, words, LONGEST);
                let patience = Duration::from_millis(text.len() as u64 * 2);
                let prompt = match task == Task::CHAT {
                    true => format!("{}\n\n{text}", words::about_a_text(random)),
                    false => text,
                };
                let params = Params {
                    max_tokens: Some(16),
                    stream: true,
                    ..Params::default()
                };
                Probe::new(
                    "context",
                    input(task, id, vec![prompt], params),
                    (LIMIT + patience).min(LONGEST_LIMIT),
                )
            }
            Claim::Streaming if writes && capabilities.streaming => {
                let params = Params {
                    max_tokens: Some(room(model, 128)),
                    stream: true,
                    ..params(random, model)
                };
                let text = prompt(random, &task);
                Probe::new("streaming", input(task, &model.id, vec![text], params), LIMIT)
            }
            Claim::Errors => {
                let unknown = unknown(random, capabilities);
                Probe::new("errors", usual(random, task, model, &unknown), LIMIT)
            }
            _ => return None,
        };
        Some(probe.about(claim.clone()))
    }
}

fn has_name(model: &ModelInfo) -> bool {
    !model.id.is_empty() && model.id.len() <= LONGEST_NAME
}

/// A model that nobody claims here.
fn unknown(random: &mut Random, capabilities: &ModuleCapabilities) -> String {
    let mut name = words::model(random);
    while capabilities.model(&name).is_some() && name.len() < LONGEST_NAME {
        name = format!("{name}-v{}", random.below(1000));
    }
    name
}

/// What a user may well ask of the model called `id`.
fn usual(random: &mut Random, task: Task, model: &ModelInfo, id: &str) -> Input {
    let params = params(random, model);
    if task == Task::CHAT {
        let request = Request::new(id, Prompt::Messages(words::conversation(random)));
        return Input::from_request(task, request.with_params(|defaults| *defaults = params));
    }
    if task == Task::EMBEDDINGS {
        let texts = (0..=random.below(3)).map(|_| words::question(random)).collect();
        return input(task, id, texts, Params::default());
    }
    let text = prompt(random, &task);
    input(task, id, vec![text], params)
}

fn prompt(random: &mut Random, task: &Task) -> String {
    match *task == Task::CHAT {
        true => words::question(random),
        false => words::opening(random),
    }
}

fn input(task: Task, model: &str, texts: Vec<String>, params: Params) -> Input {
    let prompt = match task == Task::CHAT {
        true => Prompt::Messages(texts.into_iter().map(crate::Message::user).collect()),
        false => Prompt::Texts(texts),
    };
    let request = Request::new(model, prompt).with_params(|defaults| *defaults = params);
    Input::from_request(task, request)
}

/// Parameters as users send them: mostly few, mostly streamed.
fn params(random: &mut Random, model: &ModelInfo) -> Params {
    let tokens = match random.one_in(3) {
        true => 20 + u32::try_from(random.below(120)).expect("below 120"),
        false => random.pick(&[32, 48, 64, 64, 100, 128]),
    };
    let mut params = Params {
        max_tokens: Some(room(model, tokens)),
        temperature: random.pick(&[None, None, Some(0.0), Some(0.2), Some(0.7), Some(1.0)]),
        stream: !random.one_in(4),
        ..Params::default()
    };
    if random.one_in(5) {
        params.top_p = Some(random.pick(&[0.9, 0.95]));
    }
    params
}

/// So many tokens, where the context has room for them and for a question.
fn room(model: &ModelInfo, tokens: u32) -> u32 {
    let context = model.context_length.unwrap_or(u32::MAX);
    tokens.min(context / 4).max(1)
}
