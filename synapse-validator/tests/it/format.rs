//! A wire format of tests: whatever the bytes, three prompts of two letters for the model `m`, and `best_of` where a body that
//! is nothing but a number says it. Counts who reads them.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use synapse_core::{
    Delta, Dialect, Edits, Error, Event, Framing, Input, Params, Prompt, Request, Task, Tokenizer, View, Wire,
};

#[derive(Debug, Default)]
pub(crate) struct Format {
    name: Option<&'static str>,
    views: AtomicUsize,
    reads: AtomicUsize,
}

impl Format {
    /// A dialect lives as long as the program.
    pub(crate) fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// One that has the name of another.
    pub(crate) fn leaked_as(name: &'static str) -> &'static Self {
        let name = Some(name);
        Box::leak(Box::new(Self {
            name,
            ..Self::default()
        }))
    }

    pub(crate) fn input(
        &'static self,
        task: Task,
        content_type: &'static str,
        body: impl Into<synapse_core::Bytes>,
    ) -> Input {
        let content_type = HeaderValue::from_static(content_type);
        Input::from_wire(task, Wire::new(self, "/", content_type, body))
    }

    /// How often a body was looked into.
    pub(crate) fn views(&self) -> usize {
        self.views.load(Ordering::Relaxed)
    }

    /// How often one was read whole.
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl Dialect for Format {
    fn name(&self) -> &'static str {
        self.name.unwrap_or("tests")
    }

    fn view(&self, _: &Task, wire: &Wire) -> Result<View, Error> {
        self.views.fetch_add(1, Ordering::Relaxed);
        let mut params = Params::default();
        let body = wire.body();
        let is_number = !body.is_empty() && body.iter().all(|byte| b"-.0123456789".contains(byte));
        if !is_number {
            return Ok(View::new(Some("m"), params));
        }
        params.max_tokens = Some(10);
        Ok(View::new(Some("m"), params).with_fields(vec![("best_of", 0..body.len())]))
    }

    fn request(&self, _: &Task, _: &Wire, _: &View) -> Result<Request, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let prompts = ["ab", "cd", "ef"].map(String::from);
        Ok(Request::new("m", Prompt::Texts(prompts.into())))
    }

    fn splice(&self, _: &Task, _: &Wire, _: &View, _: &Edits) -> Result<synapse_core::Bytes, Error> {
        Err(Error::unsupported("scripted", "nobody can edit it"))
    }

    fn render(&'static self, _: &Task, _: &Request) -> Result<Wire, Error> {
        Err(Error::unsupported("scripted", "nobody can write it"))
    }

    fn framing(&self, _: Option<&HeaderValue>) -> Framing {
        Framing::Unframed
    }

    fn event(&self, _: &synapse_core::Bytes, _: Framing) -> Event {
        Event::Data
    }

    fn deltas(&self, raw: &[u8], _: Framing) -> Result<Vec<Delta>, Error> {
        match raw {
            b"obscure!" => Err(Error::broken("scripted", "nobody can read it")),
            _ => Ok(Vec::new()),
        }
    }
}

/// A token a byte.
#[derive(Debug)]
pub(crate) struct Bytes;

impl Tokenizer for Bytes {
    fn name(&self) -> &str {
        "bytes"
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, _: &[u32]) -> Result<String, Error> {
        Err(Error::unsupported("scripted", "bytes do not come back"))
    }
}
