//! Requests: bytes, edits and what travels beside them.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::HeaderValue;
use synapse_core::{
    Bytes, Caller, Delta, Dialect, Edits, Error, ErrorKind, Event, Framing, Input, Message, Params, Prompt,
    Request, Task, View, Wire,
};

/// A format of its own: `model=NAME;max=N;TEXT`.
#[derive(Debug)]
struct Tiny;

static TINY: Tiny = Tiny;
static VIEWS: AtomicUsize = AtomicUsize::new(0);

/// The same format under another name.
#[derive(Debug)]
struct Other;

static OTHER: Other = Other;

/// Where the model, the cap and the text lie.
type Parts = (Range<usize>, Range<usize>, Range<usize>);

fn parts(body: &[u8]) -> Result<Parts, Error> {
    let malformed = || Error::invalid("malformed", "a tiny request is model=NAME;max=N;TEXT");
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let rest = text.strip_prefix("model=").ok_or_else(malformed)?;
    let model = 6..6 + rest.find(';').ok_or_else(malformed)?;
    let max_at = model.end + ";max=".len();
    let max = max_at
        ..max_at
            + text
                .get(max_at..)
                .and_then(|rest| rest.find(';'))
                .ok_or_else(malformed)?;
    Ok((model, max.clone(), max.end + 1..text.len()))
}

fn str_at(body: &Bytes, range: Range<usize>) -> &str {
    std::str::from_utf8(&body[range]).expect("checked when the parts were found")
}

impl Dialect for Tiny {
    fn name(&self) -> &'static str {
        "tiny"
    }

    fn view(&self, _: &Task, wire: &Wire) -> Result<View, Error> {
        VIEWS.fetch_add(1, SeqCst);
        let (model, max, _) = parts(wire.body())?;
        let mut params = Params::default();
        params.max_tokens = str_at(wire.body(), max.clone()).parse().ok();
        let fields = vec![("model", model.clone()), ("max", max)];
        Ok(View::new(Some(str_at(wire.body(), model)), params).with_fields(fields))
    }

    fn request(&self, _: &Task, wire: &Wire, view: &View) -> Result<Request, Error> {
        let (_, _, text) = parts(wire.body())?;
        let prompt = Prompt::Messages(vec![Message::user(str_at(wire.body(), text))]);
        let params = view.params().clone();
        Ok(Request::new(view.model().unwrap_or_default(), prompt).with_params(|into| *into = params))
    }

    fn splice(&self, _: &Task, wire: &Wire, view: &View, edits: &Edits) -> Result<Bytes, Error> {
        let mut body = wire.body().to_vec();
        if let (Some(max), Some(range)) = (edits.max_tokens, view.field("max")) {
            body.splice(range, max.to_string().into_bytes());
        }
        if let (Some(model), Some(range)) = (&edits.model, view.field("model")) {
            body.splice(range, model.clone().into_bytes());
        }
        Ok(body.into())
    }

    fn render(&'static self, _: &Task, request: &Request) -> Result<Wire, Error> {
        let text = request
            .messages()
            .last()
            .and_then(|message| message.content.text())
            .unwrap_or_default();
        let max = request
            .params
            .max_tokens
            .map(|max| max.to_string())
            .unwrap_or_default();
        let body = format!("model={};max={max};{text}", request.model);
        Ok(Wire::new(
            self,
            "/tiny",
            HeaderValue::from_static("application/json"),
            body,
        ))
    }

    fn framing(&self, _: Option<&HeaderValue>) -> Framing {
        Framing::Whole
    }

    fn event(&self, _: &Bytes, _: Framing) -> Event {
        Event::Last
    }

    fn deltas(&self, _: &[u8], _: Framing) -> Result<Vec<Delta>, Error> {
        Ok(Vec::new())
    }
}

impl Dialect for Other {
    fn name(&self) -> &'static str {
        "other"
    }
    fn view(&self, task: &Task, wire: &Wire) -> Result<View, Error> {
        TINY.view(task, wire)
    }
    fn request(&self, task: &Task, wire: &Wire, view: &View) -> Result<Request, Error> {
        TINY.request(task, wire, view)
    }
    fn splice(&self, task: &Task, wire: &Wire, view: &View, edits: &Edits) -> Result<Bytes, Error> {
        TINY.splice(task, wire, view, edits)
    }
    fn render(&'static self, task: &Task, request: &Request) -> Result<Wire, Error> {
        let wire = TINY.render(task, request)?;
        Ok(Wire::new(
            self,
            "/other",
            wire.content_type().clone(),
            wire.body().clone(),
        ))
    }
    fn framing(&self, content_type: Option<&HeaderValue>) -> Framing {
        TINY.framing(content_type)
    }
    fn event(&self, raw: &Bytes, framing: Framing) -> Event {
        TINY.event(raw, framing)
    }
    fn deltas(&self, raw: &[u8], framing: Framing) -> Result<Vec<Delta>, Error> {
        TINY.deltas(raw, framing)
    }
}

fn wired(body: &'static str) -> Input {
    let wire = Wire::new(
        &TINY,
        "/tiny",
        HeaderValue::from_static("application/json; charset=utf-8"),
        body,
    );
    Input::from_wire(Task::CHAT, wire)
}

fn sent(input: &Input, dialect: &'static dyn Dialect) -> String {
    String::from_utf8(input.wire_for(dialect).unwrap().body().to_vec()).unwrap()
}

#[test]
fn bytes_that_nobody_edits_are_the_very_same() {
    let input = wired("model=a;max=7;hello  there");
    let before = input.wire().unwrap().body().as_ptr();
    assert_eq!(input.model().unwrap(), "a");
    let wire = input.wire_for(&TINY).unwrap();
    assert_eq!(wire.body().as_ptr(), before, "not even a copy");
    let malformed = wired("whatever it is");
    assert_eq!(
        sent(&malformed, &TINY),
        "whatever it is",
        "forwarding needs no understanding"
    );
}

#[test]
fn edits_are_spliced_rendered_and_seen() {
    let mut input = wired("model=a;max=7;hello");
    input.set_max_tokens(3).unwrap();
    input.set_model("longer-name").unwrap();
    assert_eq!(
        (input.model().unwrap(), input.max_tokens().unwrap()),
        ("longer-name", Some(3))
    );
    assert_eq!(sent(&input, &TINY), "model=longer-name;max=3;hello");
    assert_eq!(sent(&input, &OTHER), "model=longer-name;max=3;hello");
    assert_eq!(input.wire_for(&OTHER).unwrap().path(), "/other");
    let request = input.request().unwrap();
    assert_eq!(
        (request.model.as_str(), request.params.max_tokens),
        ("longer-name", Some(3))
    );
    assert_eq!(
        input.wire().unwrap().body(),
        "model=a;max=7;hello",
        "the bytes that came stay what they were"
    );
    assert_eq!(
        input.view().unwrap().unwrap().model(),
        Some("a"),
        "and so does the view of them"
    );
}

#[test]
fn an_input_made_in_rust_is_rendered() {
    let mut input = Input::chat("a", [Message::user("hello")]);
    assert!(input.wire().is_none() && input.view().unwrap().is_none());
    input.set_max_tokens(5).unwrap();
    assert_eq!(sent(&input, &TINY), "model=a;max=5;hello");
}

#[test]
fn a_body_is_read_once_for_all_clones() {
    let input = wired("model=a;max=7;hello");
    let before = VIEWS.load(SeqCst);
    let clone = input.clone();
    for _ in 0..3 {
        input.model().unwrap();
        clone.max_tokens().unwrap();
    }
    // Other tests read other bodies at the same time, so only the address of the view is certain.
    assert!(VIEWS.load(SeqCst) > before);
    assert!(std::ptr::eq(
        input.view().unwrap().unwrap(),
        clone.view().unwrap().unwrap()
    ));
    assert_eq!(
        input.wire().unwrap().body().as_ptr(),
        clone.wire().unwrap().body().as_ptr()
    );
}

#[test]
fn an_edit_of_a_clone_is_its_own() {
    let input = wired("model=a;max=7;hello");
    let mut clone = input.clone();
    clone.set_max_tokens(1).unwrap();
    clone.extensions_mut().insert(Caller::new("alice"));
    assert_eq!(input.max_tokens().unwrap(), Some(7));
    assert!(input.edits().is_empty() && input.extensions().get::<Caller>().is_none());
    let third = clone.clone();
    assert_eq!(third.extensions().get::<Caller>(), Some(&Caller::new("alice")));
    clone.extensions_mut().insert(Caller::new("bob"));
    assert_eq!(
        third.extensions().get::<Caller>(),
        Some(&Caller::new("alice")),
        "copied on write"
    );
}

#[test]
fn a_body_that_is_not_json_cannot_be_edited() {
    let wire = Wire::new(&TINY, "/tiny", HeaderValue::from_static("audio/wav"), "RIFF");
    let mut input = Input::from_wire(Task::CHAT, wire);
    let error = input.set_model("b").unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unsupported, "body_not_json")
    );
    assert!(error.to_string().contains("audio/wav"), "{error}");
    assert!(input.set_max_tokens(1).is_err() && input.request_logprobs(1).is_err());
    assert_eq!(sent(&input, &TINY), "RIFF");
}

#[test]
fn a_malformed_body_says_the_same_each_time() {
    let input = wired("nonsense");
    for _ in 0..2 {
        assert_eq!(input.model().unwrap_err().code(), "malformed");
        assert_eq!(input.request().unwrap_err().code(), "malformed");
    }
    assert_eq!(wired("model=;max=;").model().unwrap_err().code(), "model_missing");
}

#[test]
fn log_probabilities_are_asked_for_once_and_at_the_most() {
    let mut input = Input::chat("a", [Message::user("hello")]);
    input.request_logprobs(5).unwrap();
    input.request_logprobs(2).unwrap();
    assert!(input.wants_logprobs().unwrap());
    assert_eq!(input.request().unwrap().params.top_logprobs, Some(5));
    let request = Request::new("a", Prompt::Texts(vec!["text".into()]));
    let mut embeddings = Input::from_request(Task::EMBEDDINGS, request);
    assert_eq!(embeddings.request_logprobs(1).unwrap_err().code(), "no_logprobs");
}
