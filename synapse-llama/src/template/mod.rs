//! The model's own chat template, rendered as Hugging Face's `apply_chat_template` does.

mod conversation;
mod environment;
mod json;
mod patience;
mod special;
mod time;

use std::fmt;

use minijinja::value::Value;
use minijinja::{Environment, context};
use serde_json::Value as Json;
use synapse_core::{Error, Message, PromptRenderer, RenderedPrompt};

use patience::Patience;
pub(crate) use special::ControlTokens;
use special::Mask;

use crate::digest;
use crate::error::LlamaError;
use crate::weights::LlamaWeights;

/// The name of the only template in the environment.
const NAME: &str = "chat";

/// A chat template from a GGUF: messages in, prompt out.
///
/// A template is a program from a file that somebody made, so it runs in bounds: a budget of steps and bytes that grows
/// with the conversation, two seconds, no files, no network. One hole is left: the template engine charges nothing for
/// joining lists, so a template made to double a list again and again is given up after those two seconds, but the
/// thread that it keeps busy (at most four a template) goes on, and may take memory meanwhile; load files from makers
/// you trust.
///
/// What messages contain stays text: a control token that is written out in a message (`<|im_end|>`) reaches the model
/// as those characters, never as the token (see [`PromptPiece`]). That holds for tokens that the file marks as control
/// tokens; those that it marks as 'user defined', such as `<think>` in some models, are tokens wherever they stand.
pub struct ChatTemplate {
    environment: Environment<'static>,
    provenance: String,
    knows_tools: bool,
    control: ControlTokens,
    patience: Patience,
    bos: String,
    eos: String,
}

/// A run of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptPiece {
    /// From the template, or from messages that hold no control token's text: control tokens in it are tokens.
    Trusted(String),
    /// Around a control token's text that a message holds: nothing in it is a control token.
    Plain(String),
}

impl ChatTemplate {
    /// The template in the weights' file.
    ///
    /// # Errors
    /// [`LlamaError::Unsupported`] where the file has none, [`LlamaError::Template`] where it does not compile.
    pub fn of(weights: &LlamaWeights) -> Result<Self, LlamaError> {
        let source = weights.gguf().chat_template().ok_or_else(|| {
            let hint = "send the task text_completion, or use a model that was tuned for conversations";
            LlamaError::Unsupported(format!("this model has no chat template; {hint}"))
        })?;
        Self::compile(
            source,
            ControlTokens::of(weights)?,
            weights.bos_text(),
            weights.eos_text(),
        )
    }

    /// A template from its Jinja source, for a vocabulary with no control tokens.
    ///
    /// # Errors
    /// [`LlamaError::Template`] where it does not compile.
    pub fn from_source(source: &str) -> Result<Self, LlamaError> {
        Self::compile(source, ControlTokens::none(), String::new(), String::new())
    }

    fn compile(source: &str, control: ControlTokens, bos: String, eos: String) -> Result<Self, LlamaError> {
        let environment = environment::compile(NAME, source)
            .map_err(|error| LlamaError::Template(environment::explain(&error)))?;
        let provenance = digest::of_text(source);
        Ok(Self {
            environment,
            provenance,
            knows_tools: source.contains("tools"),
            control,
            patience: Patience::default(),
            bos,
            eos,
        })
    }

    /// The digest of the template's source, `sha256:…`.
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    /// Whether the template has a place for descriptions of tools.
    pub fn knows_tools(&self) -> bool {
        self.knows_tools
    }

    /// Renders a conversation up to where the model's next message begins, in pieces for the tokenizer.
    ///
    /// # Errors
    /// [`LlamaError::Template`] where the template refuses the messages or exceeds its bounds, and
    /// [`LlamaError::Unsupported`] for content that is no text.
    pub fn render_pieces(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
    ) -> Result<Vec<PromptPiece>, LlamaError> {
        let conversation = conversation::flatten(messages)?;
        let mask = self.control.mask(&conversation, tools)?;
        let text = self.render_masked(&conversation, tools, &mask)?;
        Ok(self.control.unmask(text, &mask))
    }

    fn render_masked(
        &self,
        conversation: &[Json],
        tools: Option<&Json>,
        mask: &Mask<'_>,
    ) -> Result<String, LlamaError> {
        let to_value = |json: &Json| conversation::to_value(json, mask);
        let values = context! {
            messages => conversation.iter().map(to_value).collect::<Vec<_>>(),
            tools => tools.map_or(Value::UNDEFINED, to_value),
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
        };
        let bytes = special::weight(conversation.iter().chain(tools));
        let mut bounded = self.environment.clone();
        bounded.set_fuel(Some(environment::fuel_for(bytes)));
        let rendered = self.patience.run(move || {
            let template = bounded.get_template(NAME)?;
            template.render(values)
        })?;
        rendered.map_err(|error| LlamaError::Template(environment::explain(&error)))
    }
}

impl PromptRenderer for ChatTemplate {
    fn render(&self, messages: &[Message], tools: Option<&Json>) -> Result<RenderedPrompt, Error> {
        let pieces = self.render_pieces(messages, tools)?;
        let mut prompt = RenderedPrompt::new("", self.provenance.clone());
        for piece in &pieces {
            match piece {
                PromptPiece::Trusted(text) => prompt.push_template(text),
                PromptPiece::Plain(text) => prompt.push_plain(text),
            }
        }
        Ok(prompt)
    }
}

impl PromptPiece {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Trusted(text) | Self::Plain(text) => text,
        }
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("provenance", &self.provenance)
            .field("knows_tools", &self.knows_tools)
            .finish_non_exhaustive()
    }
}
