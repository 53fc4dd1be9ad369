//! Requests, edited and written.

use synapse_core::{Dialect, Error, ErrorKind, Input, Message, Prompt, Request, Task};
use synapse_http::OpenAi;

use super::wire;

#[test]
fn edits_replace_what_is_there_and_insert_what_is_not() {
    let check = |task: Task, body: &str, edit: fn(&mut Input) -> Result<(), Error>, expect: &str| {
        let mut input = Input::from_wire(task.clone(), wire(&task, body.to_owned()));
        edit(&mut input).unwrap();
        assert_eq!(input.wire_for(OpenAi::DIALECT).unwrap().body(), expect);
    };
    let cap = |input: &mut Input| input.set_max_tokens(7);
    let model = |input: &mut Input| input.set_model("a \"b\"");
    let top = |input: &mut Input| input.request_logprobs(3);
    let messages = r#""messages":[{"role":"user"}]"#;
    check(
        Task::CHAT,
        &format!(r#"{{{messages}}}"#),
        cap,
        &format!(r#"{{"max_tokens":7,{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#" {{ "max_tokens" : null , {messages}}} "#),
        cap,
        &format!(r#" {{ "max_tokens" : 7 , {messages}}} "#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{"max_completion_tokens":9,{messages}}}"#),
        cap,
        &format!(r#"{{"max_completion_tokens":7,{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{{messages},"max_tokens":9,"max_completion_tokens":9}}"#),
        cap,
        &format!(r#"{{{messages},"max_tokens":7,"max_completion_tokens":7}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{"model":"\u0061",{messages}}}"#),
        model,
        &format!(r#"{{"model":"a \"b\"",{messages}}}"#),
    );
    check(
        Task::CHAT,
        &format!(r#"{{{messages},"logprobs":false}}"#),
        top,
        &format!(r#"{{"top_logprobs":3,{messages},"logprobs":true}}"#),
    );
    check(
        Task::TEXT_COMPLETION,
        r#"{"prompt":"a"}"#,
        top,
        r#"{"logprobs":3,"prompt":"a"}"#,
    );
    let mut input = Input::from_wire(Task::EMBEDDINGS, wire(&Task::EMBEDDINGS, r#"{"input":"a"}"#));
    input.set_max_tokens(7).unwrap();
    assert_eq!(
        input.wire_for(OpenAi::DIALECT).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn a_field_that_is_given_twice_is_not_written() {
    let mut request = Request::new("m", Prompt::Messages(vec![Message::user("hi")]));
    request.other.insert("temperature".into(), 1.into());
    let error = OpenAi.render(&Task::CHAT, &request).unwrap_err();
    assert_eq!(
        (error.code(), error.param()),
        ("duplicate_field", Some("temperature"))
    );
    assert_eq!(
        OpenAi.render(&Task::EMBEDDINGS, &request).unwrap_err().code(),
        "prompt_unsupported"
    );
    assert_eq!(
        OpenAi.render(&Task::RERANK, &request).unwrap_err().code(),
        "task_unsupported"
    );
}
