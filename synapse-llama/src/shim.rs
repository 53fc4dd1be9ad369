#![allow(missing_docs)]
use bytes::Bytes;
#[derive(Debug, Clone, PartialEq)]
pub struct Token { pub id: Option<u32>, pub bytes: Bytes, pub logprobs: Option<Logprobs> }
impl Token {
    pub fn new(id: impl Into<Option<u32>>, bytes: impl Into<Bytes>) -> Self { Self { id: id.into(), bytes: bytes.into(), logprobs: None } }
    pub fn with_logprobs(mut self, logprobs: Logprobs) -> Self { self.logprobs = Some(logprobs); self }
}
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logprobs { pub logprob: f32, pub top: Vec<Alternative> }
impl Logprobs { pub fn new(logprob: f32, top: Vec<Alternative>) -> Self { Self { logprob, top } } }
#[derive(Debug, Clone, PartialEq)]
pub struct Alternative { pub id: Option<u32>, pub bytes: Bytes, pub logprob: f32 }
impl Alternative { pub fn new(id: impl Into<Option<u32>>, bytes: impl Into<Bytes>, logprob: f32) -> Self { Self { id: id.into(), bytes: bytes.into(), logprob } } }
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage { pub input_tokens: u64, pub output_tokens: u64 }
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason { Stop, Length }
