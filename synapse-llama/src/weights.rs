use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::backend::backend;
use crate::digest;
use crate::error::LlamaError;
use crate::gguf::{Gguf, GgufError, GgufProblem};

/// A model's weights and vocabulary, loaded once and shared: clones are cheap, and several engines may run over one.
///
/// The weights are mapped from the file, so the file must stay as it is while any clone lives.
#[derive(Clone)]
pub struct LlamaWeights(Arc<Inner>);

struct Inner {
    model: LlamaModel,
    path: PathBuf,
    gguf: Gguf,
    longest_piece: usize,
    digest: OnceLock<String>,
}

impl LlamaWeights {
    /// Loads a GGUF file. This blocks for as long as the disk takes: call it off an async reactor.
    ///
    /// # Errors
    /// [`LlamaError::Gguf`] where the file is damaged or no model, [`LlamaError::Load`] where llama.cpp refuses it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LlamaError> {
        Self::load_with_progress(path, |_fraction| {})
    }

    /// Loads a GGUF file and reports how far it is, from 0.0 to 1.0.
    ///
    /// # Errors
    /// As [`LlamaWeights::load`].
    pub fn load_with_progress(
        path: impl AsRef<Path>,
        progress: impl Fn(f32) + 'static,
    ) -> Result<Self, LlamaError> {
        let path = path.as_ref();
        let gguf = Gguf::open(path)?;
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return Err(LlamaError::Unsupported(format!(
                "the path {} is not UTF-8: rename the file",
                path.display()
            )));
        }
        let params = LlamaModelParams::default().with_progress_callback(move |fraction| {
            progress(fraction);
            true
        });
        let model =
            LlamaModel::load_from_file(backend(), path, &params).map_err(|_null| LlamaError::Load {
                path: path.to_owned(),
            })?;
        let longest_piece = longest_piece(&model);
        Ok(Self(Arc::new(Inner {
            model,
            path: path.to_owned(),
            gguf,
            longest_piece,
            digest: OnceLock::new(),
        })))
    }

    /// The file that they were loaded from.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What the file says of itself.
    pub fn gguf(&self) -> &Gguf {
        &self.0.gguf
    }

    /// The context length that the model was trained with, in tokens.
    pub fn trained_context_length(&self) -> u32 {
        self.0.model.n_ctx_train()
    }

    /// How many tokens the vocabulary has.
    pub fn vocabulary_size(&self) -> u32 {
        u32::try_from(self.0.model.n_vocab()).unwrap_or(0)
    }

    /// The width of the model's states, and so of its embeddings.
    pub fn embedding_width(&self) -> usize {
        usize::try_from(self.0.model.n_embd_out()).unwrap_or(0)
    }

    /// The size of all tensors in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.model.size()
    }

    /// How many numbers the model was trained to.
    pub fn parameters(&self) -> u64 {
        self.0.model.n_params()
    }

    /// Whether `token` ends a reply.
    pub fn ends_reply(&self, token: u32) -> bool {
        self.token(token)
            .is_some_and(|token| self.0.model.vocab().is_eog(token))
    }

    /// The digest of the whole file, `sha256:…`. The first call reads the file, which blocks; later ones return at once.
    ///
    /// # Errors
    /// [`LlamaError::Gguf`] where the file can no longer be read.
    pub fn digest(&self) -> Result<&str, LlamaError> {
        if self.0.digest.get().is_none() {
            let unreadable = |error| GgufError::new(self.path(), GgufProblem::Io(error));
            let digest = digest::of_file(self.path()).map_err(unreadable)?;
            // Another thread may have been faster, with the same result.
            let _same = self.0.digest.set(digest);
        }
        Ok(self.0.digest.get().map_or("", String::as_str))
    }

    pub(crate) fn model(&self) -> &LlamaModel {
        &self.0.model
    }

    /// The most bytes of text that one token stands for.
    pub(crate) fn longest_piece(&self) -> usize {
        self.0.longest_piece
    }

    /// llama.cpp's token for an id, or `None` where the vocabulary lacks it.
    pub(crate) fn token(&self, id: u32) -> Option<LlamaToken> {
        i32::try_from(id)
            .ok()
            .filter(|&id| id < self.0.model.n_vocab())
            .map(LlamaToken::new)
    }

    /// Whether a token only marks the text's structure.
    pub(crate) fn is_control(&self, token: u32) -> bool {
        self.token(token)
            .is_some_and(|token| self.0.model.vocab().is_control(token))
    }

    /// The texts of all control tokens.
    pub(crate) fn control_texts(&self) -> Vec<String> {
        let vocabulary = self.0.model.vocab();
        let control = vocabulary.tokens().filter(|&token| vocabulary.is_control(token));
        control
            .filter_map(|token| String::from_utf8(self.bytes_of(token)).ok())
            .collect()
    }

    /// The text of the token that begins every document, empty where the vocabulary has none.
    pub(crate) fn bos_text(&self) -> String {
        self.text_of_special(self.0.model.vocab().bos())
    }

    /// The text of the token that ends every document, empty where the vocabulary has none.
    pub(crate) fn eos_text(&self) -> String {
        self.text_of_special(self.0.model.vocab().eos())
    }

    fn text_of_special(&self, token: LlamaToken) -> String {
        let known = (0..self.0.model.n_vocab()).contains(&token.0);
        if known {
            String::from_utf8_lossy(&self.bytes_of(token)).into_owned()
        } else {
            String::new()
        }
    }

    /// What a token adds to a text; nothing for control tokens.
    pub(crate) fn text_of(&self, token: LlamaToken) -> Vec<u8> {
        self.0.model.vocab().token_to_piece(token, false, None)
    }

    /// A token's bytes, a control token's written out.
    pub(crate) fn bytes_of(&self, token: LlamaToken) -> Vec<u8> {
        self.0.model.vocab().token_to_piece(token, true, None)
    }
}

impl fmt::Debug for LlamaWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlamaWeights")
            .field("path", &self.0.path)
            .field("architecture", &self.0.gguf.architecture())
            .field("parameters", &self.parameters())
            .finish_non_exhaustive()
    }
}

fn longest_piece(model: &LlamaModel) -> usize {
    model
        .tokens(true)
        .map(|(_token, bytes)| bytes.len())
        .max()
        .unwrap_or(1)
        .max(1)
}
