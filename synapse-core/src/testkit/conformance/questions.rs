//! What the suite asks.

use super::Conformance;
use crate::{Input, Message, ModuleCapabilities, Prompt, Request, Task};

/// Enough for every prompt of the suite, and soon over.
const REPLY_TOKENS: u32 = 48;

/// What the suite asks of a module that claims these capabilities.
pub(super) struct Questions {
    pub(super) capabilities: ModuleCapabilities,
    model: String,
    prompt: String,
}

impl Questions {
    pub(super) fn new(options: &Conformance, capabilities: ModuleCapabilities) -> Self {
        let first = capabilities.models.first().map(|model| model.id.clone());
        Self {
            model: options.model.clone().or(first).unwrap_or_default(),
            prompt: options.prompt.clone(),
            capabilities,
        }
    }

    /// The declared tasks whose answer is text.
    pub(super) fn text_tasks(&self) -> impl Iterator<Item = &Task> {
        self.capabilities
            .tasks
            .iter()
            .filter(|task| **task == Task::CHAT || **task == Task::TEXT_COMPLETION)
    }

    /// The declared tasks that the suite cannot ask for.
    pub(super) fn unknown_tasks(&self) -> impl Iterator<Item = &Task> {
        let known = [Task::CHAT, Task::TEXT_COMPLETION, Task::EMBEDDINGS];
        self.capabilities
            .tasks
            .iter()
            .filter(move |task| !known.contains(task))
    }

    pub(super) fn embeds(&self) -> bool {
        self.capabilities.tasks.contains(&Task::EMBEDDINGS)
    }

    /// A question for text, of the model that is asked.
    pub(super) fn text(&self, task: &Task, stream: bool) -> Input {
        self.text_of(task, &self.model, stream)
    }

    /// The same of any model.
    pub(super) fn text_of(&self, task: &Task, model: &str, stream: bool) -> Input {
        let prompt = if *task == Task::TEXT_COMPLETION {
            Prompt::Texts(vec![self.prompt.clone()])
        } else {
            Prompt::Messages(vec![Message::user(&*self.prompt)])
        };
        let request = Request::new(model, prompt).with_params(|params| {
            params.max_tokens = Some(REPLY_TOKENS);
            params.stream = stream;
            params.include_usage = stream;
        });
        Input::from_request(task.clone(), request)
    }

    pub(super) fn embeddings(&self, texts: &[&str]) -> Input {
        self.embeddings_of(&self.model, texts)
    }

    fn embeddings_of(&self, model: &str, texts: &[&str]) -> Input {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        Input::from_request(Task::EMBEDDINGS, Request::new(model, Prompt::Texts(texts)))
    }

    /// Any question that the module should answer, streamed where it is text.
    pub(super) fn any(&self) -> Option<Input> {
        match self.text_tasks().next() {
            Some(task) => Some(self.text(task, self.capabilities.streaming)),
            None if self.embeds() => Some(self.embeddings(&["red"])),
            None => None,
        }
    }

    /// The same of a model that nobody has.
    pub(super) fn any_of(&self, model: &str) -> Option<Input> {
        match self.text_tasks().next() {
            Some(task) => Some(self.text_of(task, model, false)),
            None if self.embeds() => Some(self.embeddings_of(model, &["red"])),
            None => None,
        }
    }
}
