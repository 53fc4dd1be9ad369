//! An endpoint as a module, against a server that injects faults.

use std::time::Duration;

use futures_util::StreamExt;
use synapse_core::{
    Bytes, Connect, Deadline, Endpoint, Error, ErrorKind, HealthStatus, InferenceModule, Input, Member,
    Message, Output, RequestId, Retry, Role, Task,
};
use synapse_http::{HttpConnect, OpenAiModule, client};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::upstream::{END, Step, Upstream, chunked, whole};

const SSE: &str = "text/event-stream";
const JSON: &str = "content-type: application/json\r\n";
const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const RED: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Red\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn ask() -> Input {
    Input::chat("m", [Message::user("Name a colour.")])
}

fn module(upstream: &Upstream) -> OpenAiModule {
    OpenAiModule::builder(&*upstream.url)
        .idle_timeout(Duration::from_millis(300))
        .head_timeout(Duration::from_secs(2))
        .max_reply(100_000)
        .build()
        .unwrap()
}

async fn events(output: Output) -> Result<Vec<Bytes>, Error> {
    let chunks: Vec<_> = output.body.collect().await;
    chunks
        .into_iter()
        .map(|chunk| Ok(chunk?.wire().cloned().unwrap_or_default()))
        .collect()
}

/// What a call to a server that follows `steps` comes to: its events, or its error, before or after content.
async fn outcome(steps: Vec<Step>) -> Result<Vec<Bytes>, Error> {
    let upstream = Upstream::start(move |_| steps.clone()).await;
    let answer = async { events(module(&upstream).run_inference(ask()).await?).await };
    timeout(Duration::from_secs(5), answer)
        .await
        .expect("every fault ends in time")
}

fn stream(parts: &[&str], after: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [Step::Send(chunked(SSE, parts))]
        .into_iter()
        .chain(after)
        .collect()
}

#[tokio::test]
async fn events_arrive_byte_for_byte_however_they_are_sent() {
    for end in ["\n", "\r\n", "\r"] {
        let events: Vec<String> = [&format!(": hello\nid: 4\n{ROLE}"), RED, DONE]
            .iter()
            .map(|event| event.replace('\n', end))
            .collect();
        let parts: Vec<&str> = events.iter().map(String::as_str).collect();
        let reply = [&chunked(SSE, &parts)[..], END].concat();
        for step in [Step::Send(reply.clone()), Step::Trickle(reply.clone())] {
            assert_eq!(outcome(vec![step]).await.unwrap(), events, "{end:?}");
        }
        let cut: Vec<String> = events.concat().chars().map(String::from).collect();
        let parts: Vec<&str> = cut.iter().map(String::as_str).collect();
        let reply = [&chunked(SSE, &parts)[..], END].concat();
        assert_eq!(outcome(vec![Step::Send(reply)]).await.unwrap(), events, "{end:?}");
    }
}

#[tokio::test]
async fn a_broken_stream_is_never_a_complete_one() {
    let check = async |steps: Vec<Step>, kind: ErrorKind, code: &str| {
        let error = outcome(steps).await.expect_err(code);
        assert_eq!(
            (error.kind(), error.code(), error.retry()),
            (kind, code, Retry::Elsewhere),
            "{error:?}"
        );
    };
    let end = || Step::Send(END.to_vec());
    let broken = ErrorKind::Broken;
    check(stream(&[ROLE, RED], [Step::Close]), broken, "connection_cut").await;
    check(
        stream(&[ROLE, RED, "data: {"], [Step::Close]),
        broken,
        "connection_cut",
    )
    .await;
    check(stream(&[ROLE, RED], [end()]), broken, "truncated_reply").await;
    check(
        stream(&[ROLE, RED, "data: {\"choices\""], [end()]),
        broken,
        "truncated_event",
    )
    .await;
    check(
        stream(&[ROLE, RED, "data: {\n\n", DONE], [end()]),
        broken,
        "invalid_event",
    )
    .await;
    check(
        stream(&[&format!("data: {}", "x".repeat(2 << 20))], [end()]),
        broken,
        "event_too_large",
    )
    .await;
    check(stream(&[RED], [Step::Hold]), ErrorKind::Timeout, "idle_timeout").await;
    check(vec![Step::Hold], ErrorKind::Timeout, "head_timeout").await;
    check(vec![Step::Close], ErrorKind::Unavailable, "no_reply").await;
    check(stream(&[], [end()]), broken, "truncated_reply").await;
    let mut bad = chunked(SSE, &[RED]);
    bad.extend_from_slice(b"d\r\ndata: \"\xff\xfe\"\n\n\r\n");
    check(vec![Step::Send(bad), end()], broken, "invalid_event").await;

    let json = |headers: &str, body: &str| vec![Step::Send(whole("200 OK", headers, body)), Step::Close];
    check(json(JSON, "{\"choices\":"), broken, "invalid_reply").await;
    check(json(JSON, ""), broken, "invalid_reply").await;
    check(
        json("content-type: text/html\r\n", "<html>"),
        broken,
        "unexpected_content_type",
    )
    .await;
    check(
        json(&format!("{JSON}content-encoding: gzip\r\n"), "{}"),
        broken,
        "encoded_reply",
    )
    .await;
    check(
        json(JSON, &format!("\"{}\"", "x".repeat(100_000))),
        broken,
        "reply_too_large",
    )
    .await;
    let long = format!("\"{}\"", "x".repeat(100_000));
    check(
        vec![Step::Send(chunked("application/json", &[&long])), end()],
        broken,
        "reply_too_large",
    )
    .await;
    let short = format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 100\r\n\r\n{{}}").into_bytes();
    check(vec![Step::Send(short), Step::Close], broken, "length_mismatch").await;
}

#[tokio::test]
async fn an_error_before_content_is_the_calls_and_later_the_bodys() {
    let error = "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\"}}\n\n";
    for (parts, before) in [(vec![ROLE, error], true), (vec![ROLE, RED, error], false)] {
        let steps = stream(&parts, [Step::Send(END.to_vec())]);
        let upstream = Upstream::start(move |_| steps.clone()).await;
        let error = match module(&upstream).run_inference(ask()).await {
            Err(error) if before => error,
            Ok(output) if !before => events(output).await.unwrap_err(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Broken, "upstream_failed")
        );
        assert_eq!(
            client::Upstream::of(&error).unwrap().said(),
            Some("out of memory")
        );
    }
}

#[tokio::test]
async fn an_end_without_its_blank_line_counts_only_for_the_last_event() {
    let end = || Step::Send(END.to_vec());
    for last in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r\r"] {
        assert_eq!(outcome(stream(&[RED, last], [end()])).await.unwrap(), [RED, last]);
    }
    assert_eq!(
        outcome(stream(&[RED, RED.trim_end()], [end()]))
            .await
            .unwrap_err()
            .code(),
        "truncated_event"
    );
}

#[tokio::test]
async fn comments_break_the_silence() {
    let mut steps = stream(&[ROLE], []);
    for _ in 0..4 {
        steps.push(Step::Pause(Duration::from_millis(150)));
        steps.push(Step::Send(b"8\r\n: ping\n\n\r\n".to_vec()));
    }
    steps.push(Step::Send(
        [&chunked(SSE, &[RED, DONE])[chunked(SSE, &[]).len()..], END].concat(),
    ));
    assert_eq!(outcome(steps).await.unwrap(), [ROLE, RED, DONE]);
}

#[tokio::test]
async fn a_reader_that_takes_its_time_is_not_silence_of_the_server() {
    let upstream = Upstream::start(|_| {
        let pause = Step::Pause(Duration::from_millis(500));
        let rest = Step::Send([&chunked(SSE, &[DONE])[chunked(SSE, &[]).len()..], END].concat());
        stream(&[RED], [pause, rest])
    })
    .await;
    let output = module(&upstream).run_inference(ask()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(events(output).await.unwrap(), [RED, DONE]);
}

#[tokio::test]
async fn refusals_say_whose_fault_they_are() {
    let check = async |status: &'static str,
                       headers: &'static str,
                       body: String,
                       expect: (ErrorKind, &str, Retry)| {
        let upstream = Upstream::start(move |_| vec![Step::Send(whole(status, headers, &body))]).await;
        let error = module(&upstream).run_inference(ask()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code(), error.retry()),
            expect,
            "{status}: {error:?}"
        );
        error
    };
    let openai =
        |code: &str| format!("{{\"error\":{{\"message\":\"of org-7\",\"type\":\"t\",\"code\":{code}}}}}");
    let (never, elsewhere) = (Retry::Never, Retry::Elsewhere);
    let error = check(
        "400 Bad Request",
        JSON,
        openai("\"context_length_exceeded\""),
        (ErrorKind::Invalid, "context_length_exceeded", never),
    )
    .await;
    assert_eq!(error.message(), "of org-7");
    check(
        "400 Bad Request",
        "",
        "nope".into(),
        (ErrorKind::Invalid, "upstream_refused", never),
    )
    .await;
    check(
        "404 Not Found",
        JSON,
        openai("null"),
        (ErrorKind::NotFound, "upstream_refused", never),
    )
    .await;
    check(
        "404 Not Found",
        "",
        "404".into(),
        (ErrorKind::Unavailable, "wrong_endpoint", elsewhere),
    )
    .await;
    check(
        "413 Too Large",
        "",
        "".into(),
        (ErrorKind::TooLarge, "upstream_refused", never),
    )
    .await;
    let error = check(
        "401 Unauthorized",
        JSON,
        openai("\"invalid_api_key\""),
        (ErrorKind::Unavailable, "upstream_refused_us", elsewhere),
    )
    .await;
    assert!(!error.to_string().contains("org-7"), "{error}");
    let error = check(
        "429 Too Many Requests",
        "retry-after: 7\r\n",
        openai("\"rate_limit\""),
        (ErrorKind::Overloaded, "upstream_overloaded", elsewhere),
    )
    .await;
    assert_eq!(
        client::Upstream::of(&error).unwrap().retry_after(),
        Some(Duration::from_secs(7))
    );
    assert_eq!(synapse_http::status::retry_after(&error).unwrap(), "7");
    check(
        "500 Oops",
        JSON,
        openai("500"),
        (ErrorKind::Broken, "upstream_failed", elsewhere),
    )
    .await;
    check(
        "503 Busy",
        "",
        "".into(),
        (ErrorKind::Unavailable, "upstream_unavailable", elsewhere),
    )
    .await;
    check(
        "302 Found",
        "location: /x\r\n",
        "".into(),
        (ErrorKind::Broken, "upstream_failed", elsewhere),
    )
    .await;
    let ours =
        Error::new(ErrorKind::Overloaded, "queue_full", "the queue is full").with_hint("come back later");
    let ours = synapse_http::dialect::openai::error_body(&ours);
    let ours = String::from_utf8(ours.to_vec()).unwrap();
    let error = check(
        "503 Busy",
        JSON,
        ours,
        (ErrorKind::Overloaded, "queue_full", elsewhere),
    )
    .await;
    assert_eq!(error.to_string(), "the queue is full; come back later");
}

#[tokio::test]
async fn an_endless_refusal_is_cut_off() {
    let mut reply = b"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    reply.extend_from_slice(&chunked("", &[&"x".repeat(200_000)])[chunked("", &[]).len()..]);
    let error = outcome(vec![Step::Send(reply), Step::Hold]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "upstream_refused")
    );
}

#[tokio::test]
async fn dropping_the_output_or_the_call_closes_the_connection() {
    let mut upstream = Upstream::start(|_| stream(&[ROLE, RED], [Step::Hold])).await;
    let module = module(&upstream);
    let output = module.run_inference(ask()).await.unwrap();
    assert_eq!(module.get_metrics().get("client.in_flight", &[]), Some(1.0));
    drop(output);
    timeout(Duration::from_secs(2), upstream.closed(1))
        .await
        .expect("the server sees that the client left");
    assert_eq!(module.get_metrics().get("client.in_flight", &[]), Some(0.0));
    assert_eq!(module.get_metrics().get("client.dropped", &[]), Some(1.0));

    let mut silent = Upstream::start(|_| vec![Step::Hold]).await;
    let early = OpenAiModule::builder(&*silent.url).build().unwrap();
    let call = timeout(Duration::from_millis(100), early.run_inference(ask()));
    assert!(call.await.is_err());
    timeout(Duration::from_secs(2), silent.closed(1))
        .await
        .expect("the server sees that the call was given up");
    assert_eq!(early.get_metrics().get("client.in_flight", &[]), Some(0.0));
}

#[tokio::test]
async fn a_connection_is_used_again_after_the_last_event() {
    let upstream = Upstream::start(|_| {
        let pause = Step::Pause(Duration::from_millis(50));
        stream(&[RED, DONE], [pause, Step::Send(END.to_vec())])
    })
    .await;
    let module = module(&upstream);
    for _ in 0..3 {
        // Left right at the last event, before the body's own end: the rest is read by a bounded drain.
        let mut output = module.run_inference(ask()).await.unwrap();
        while let Some(chunk) = output.body.next().await {
            if chunk.unwrap().is_last() {
                break;
            }
        }
        drop(output);
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    assert_eq!((upstream.requests().len(), upstream.accepted()), (3, 1));
    let metrics = module.get_metrics();
    assert_eq!(metrics.get("client.drained", &[]), Some(3.0));
    assert_eq!(metrics.get("client.draining", &[]), Some(0.0));
    assert_eq!(metrics.get("client.dropped", &[]), Some(0.0));
    module.shutdown().await.unwrap();
    assert_eq!(module.run_inference(ask()).await.unwrap_err().code(), "shut_down");
}

#[tokio::test]
async fn a_server_that_goes_on_after_the_last_event_is_left() {
    let mut upstream = Upstream::start(|_| stream(&[RED, DONE], [Step::Hold])).await;
    let module = module(&upstream);
    assert_eq!(
        events(module.run_inference(ask()).await.unwrap()).await.unwrap(),
        [RED, DONE]
    );
    let started = Instant::now();
    module.shutdown().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    timeout(Duration::from_secs(1), upstream.closed(1))
        .await
        .expect("the drain gives up");
}

#[tokio::test]
async fn what_travels_with_a_request() {
    let upstream = Upstream::start(|_| {
        let headers = "content-type: application/json\r\nx-synapse-miner: miner-3\r\n";
        vec![Step::Send(whole("200 OK", headers, "{\"choices\":[]}"))]
    })
    .await;
    let module = OpenAiModule::builder(format!("{}/v1/", upstream.url))
        .api_key("sk-secret")
        .build()
        .unwrap();
    assert!(!format!("{module:?}").contains("secret"));
    let mut input = ask();
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + Duration::from_secs(9)));
    input.extensions_mut().insert(RequestId::from("r-1"));
    let output = module.run_inference(input).await.unwrap();
    assert_eq!(output.head.served_by().unwrap().as_str(), "miner-3");
    assert_eq!(output.head.content_type().unwrap(), "application/json");
    assert_eq!(events(output).await.unwrap(), ["{\"choices\":[]}"]);
    let request = &upstream.requests()[0];
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{request}"
    );
    for wanted in [
        "authorization: Bearer sk-secret",
        "x-request-id: r-1",
        "content-type: application/json",
    ] {
        assert!(request.contains(wanted), "{request}");
    }
    let left: u64 = request
        .split("x-synapse-deadline-ms: ")
        .nth(1)
        .unwrap()
        .split('\r')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((8_000..=9_000).contains(&left), "{left}");
    assert!(!request.contains("accept-encoding"), "{request}");

    let mut late = ask();
    late.extensions_mut().insert(Deadline::at(Instant::now()));
    assert_eq!(
        module.run_inference(late).await.unwrap_err().code(),
        "deadline_exceeded"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a_deadline_ends_a_reply_too() {
    let upstream = Upstream::start(|_| stream(&[RED], [Step::Hold])).await;
    let mut input = ask();
    input
        .extensions_mut()
        .insert(Deadline::at(Instant::now() + Duration::from_millis(150)));
    let output = module(&upstream).run_inference(input).await.unwrap();
    let error = events(output).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "deadline_exceeded")
    );
}

#[tokio::test]
async fn any_endpoint_is_discovered_by_its_models() {
    let upstream = Upstream::start(|request| {
        vec![Step::Send(if request.starts_with("GET /v1/models ") {
            whole(
                "200 OK",
                JSON,
                "{\"object\":\"list\",\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}",
            )
        } else {
            whole("404 Not Found", "", "nothing here")
        })]
    })
    .await;
    let module = OpenAiModule::builder(&*upstream.url).build().unwrap();
    assert_eq!(
        module.health_check().await.unwrap().status(),
        HealthStatus::Unhealthy
    );
    module.initialize().await.unwrap();
    module.initialize().await.unwrap();
    let capabilities = module.get_capabilities();
    assert!(capabilities.serves(&Task::CHAT, "a") && capabilities.serves(&Task::EMBEDDINGS, "b"));
    assert!(capabilities.streaming && capabilities.dialects == ["openai"]);
    assert_eq!(module.health_check().await.unwrap().status(), HealthStatus::Ready);
    drop(upstream);
}

#[tokio::test]
async fn an_endpoint_of_ours_says_what_it_can_do_and_how_it_is() {
    let claims = synapse_core::ModuleCapabilities::new("shout").with_task(Task::CHAT);
    let claims = serde_json::to_string(&claims).unwrap();
    let upstream = Upstream::start(move |request| {
        vec![Step::Send(
            if request.starts_with("GET /synapse/v1/capabilities ") {
                whole("200 OK", JSON, &claims)
            } else {
                whole(
                    "503 Busy",
                    JSON,
                    "{\"status\":\"unhealthy\",\"reason\":\"no model\"}",
                )
            },
        )]
    })
    .await;
    let member = Member::new("miner-1", Role::Miner).with_endpoint(Endpoint::http(&upstream.url).unwrap());
    let module = HttpConnect::new().connect(&member).unwrap();
    module.initialize().await.unwrap();
    assert_eq!(module.get_capabilities().name, "shout");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let health = module.health_check().await.unwrap();
    assert_eq!(
        (health.status(), health.reason()),
        (HealthStatus::Unhealthy, Some("no model"))
    );
}

#[tokio::test]
async fn an_address_that_nobody_answers_at_or_that_is_none() {
    let error = OpenAiModule::connect("http://127.0.0.1:1").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "connect_failed")
    );
    let error = OpenAiModule::builder("localhost:8080").build().unwrap_err();
    assert_eq!(error.code(), "bad_endpoint");
    let error = OpenAiModule::builder("http://127.0.0.1:1")
        .api_key("a\nb")
        .build()
        .unwrap_err();
    assert!(error.code() == "bad_api_key" && !error.to_string().contains("a\nb"));
    let nowhere = HttpConnect::new()
        .connect(&Member::new("m", Role::Miner))
        .err()
        .unwrap();
    assert_eq!(nowhere.code(), "no_endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_says_nothing_is_unreachable_and_that_is_a_timeout() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", mute.local_addr().unwrap());
    let module = OpenAiModule::builder(url)
        .node_key("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".into())
        .allow_loopback(true)
        .connect_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let started = Instant::now();
    let error = module.initialize().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, "unreachable"));
    assert_eq!(started.elapsed().as_secs(), 2);
}

/// No TCP connection leads to a broadcast address; Linux says so at once.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_no_way_leads_to_is_unreachable() {
    let error = OpenAiModule::connect("http://255.255.255.255:1")
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, "unreachable"));
}

#[tokio::test]
async fn an_https_address_is_not_spoken_to_without_tls() {
    let upstream = Upstream::start(|_| stream(&[RED, DONE], [Step::Send(END.to_vec())])).await;
    let url = upstream.url.replace("http:", "https:");
    match OpenAiModule::builder(url)
        .connect_timeout(Duration::from_millis(500))
        .build()
    {
        Ok(module) => assert_eq!(
            module.run_inference(ask()).await.unwrap_err().code(),
            "unreachable"
        ),
        // A machine without a certificate store says so, and says what to install.
        Err(error) => assert_eq!(error.code(), "tls_failed"),
    }
    assert!(upstream.requests().is_empty());
}
