//! Bad input through the whole gateway, where each request has a key, a balance and limits: what is refused is billed
//! nothing, holds nothing and gives back what it reserved.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Write as _,
};

use serde_json::{Value, json};
use synapse_core::{Micros, Tokenizer};
use synapse_validator::{
    Quota,
    ledger::{Outcome, Query, query, rows},
    token_count::{OpenAiTokenizer, OpenAiVocabulary},
};

use crate::{
    bad_input,
    bad_input_gateway::{Account, Books, SMALL, Used, World, float, price},
    bad_input_more::{self, messages, tools},
    bad_input_odd,
    bad_input_sent::{Ask, CHAT, Door, Holder, MEGABYTE, Sent, chat, post},
};

/// Sends what is bad, and returns its line of the table, once the books and the limits are what they should be.
async fn line(world: &World, account: &mut Account, ask: Ask) -> String {
    let Ask {
        name,
        holder,
        door,
        sent,
        from,
        ..
    } = ask;
    world.settled(name).await;
    let (earlier, books) = (world.rows(account).len(), world.books(account));
    *world.seen.lock().unwrap() = None;

    let shown = match &holder {
        Holder::Showing(lines) => lines,
        _ => &account.shown,
    };
    let answer = world.send(door, shown, sent).await;
    world.settled(name).await;
    if let Some(from) = from {
        let seen = *world.seen.lock().unwrap();
        assert_eq!(seen, Some(from.parse().unwrap()), "{name}");
    }
    let rows = world.rows(account).split_off(earlier);
    let is_good = answer.status == Some(200);
    let (row, charge) = match &rows[..] {
        [] => ("–", Micros::ZERO),
        [row] => (row.outcome.as_ref().unwrap().as_str(), row.charge),
        more => panic!("{name} has {} rows: {more:#?}", more.len()),
    };
    let after = Books {
        balance: books.balance.map(|balance| balance.minus(charge).unwrap()),
        charged: books.charged + float(charge.0),
        rows: books.rows + float(rows.len() as u64),
    };
    assert_eq!(world.books(account), after, "{name}");
    let tokens = match &rows[..] {
        [row] if is_good => {
            assert_eq!(row.outcome, Some(Outcome::Complete), "{name}: {row:#?}");
            let charge = price().charge(row.prompt_tokens, row.completion_tokens);
            assert_eq!(Some(row.charge), charge, "{name}: {row:#?}");
            assert!(row.charge <= row.hold, "{name}: {row:#?}");
            row.prompt_tokens + row.completion_tokens
        }
        _ => {
            assert!(!is_good, "{name} was answered, and has no row");
            assert_eq!(charge, Micros::ZERO, "{name} was refused");
            0
        }
    };
    let said = answer.said(name);
    let requests = match account.model {
        Some(model) => {
            let taken = world.ask(account, model).await;
            assert_eq!(taken.tokens, tokens, "{name}: what is taken is what is counted");
            taken.requests.to_string()
        }
        None => "–".to_owned(),
    };
    format!("{name} | {said} | {requests} | {tokens} | {row} | {}", charge.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_billed_nothing() {
    let world = World::new(Quota::requests_per_day(1_000_000)).await;
    let old = bad_input::requests()
        .into_iter()
        .map(|(name, request)| Ask::new(name, Sent::request(request)));
    let raw = bad_input::raw_requests()
        .into_iter()
        .map(|(name, bytes)| Ask::new(name, Sent::bytes(bytes)));
    let mut table = String::from(
        "input | status | type | code | param | requests | tokens | row | charge\n\
         --- | --- | --- | --- | --- | --- | --- | --- | ---\n",
    );
    let mut accounts: HashMap<String, Account> = HashMap::new();
    let new = bad_input_more::all().chain(bad_input_odd::all());
    for ask in old.chain(raw).chain(new) {
        // Who shows no key of his own is in nobody's books, and somebody's are looked at.
        let kind = match &ask.holder {
            Holder::Showing(_) => Holder::Plain.of_kind(0),
            holder => holder.of_kind(ask.before),
        };
        let account = match accounts.entry(kind) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => {
                let mut account = world.account(place.key(), &ask.holder);
                for _ in 0..ask.before {
                    let taken = world.ask(&mut account, "good").await;
                    assert_eq!(taken, Used::default());
                }
                place.insert(account)
            }
        };
        writeln!(table, "{}", line(&world, account, ask).await).unwrap();
    }
    insta::assert_snapshot!(table);

    // All of it once more, from the rows alone: whoever was charged was answered.
    let of_all = Query::default();
    let (mut charged, directory) = (0, world.directory());
    rows(&directory, &of_all, |row| {
        let is_answered = row.outcome == Some(Outcome::Complete);
        assert!(is_answered || row.charge == Micros::ZERO, "{row:#?}");
        charged += row.charge.0;
        true
    })
    .unwrap();
    assert!(world.metric("ledger.charged") == float(charged));
    let report = query(&directory, &of_all).unwrap();
    assert_eq!(report.totals.charge.0, charged);
    let accounts = world.ledger.ledger().accounts();
    let of_accounts: u64 = accounts.iter().map(|(_, account)| account.charged.0).sum();
    assert_eq!(of_accounts, charged, "every charge is somebody's");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_tools_and_ten_thousand_messages_cost_what_they_count() {
    let world = World::new(Quota::UNLIMITED).await;
    let account = world.account("somebody", &Holder::Plain);
    let tokenizer = OpenAiTokenizer::load(OpenAiVocabulary::O200kBase).unwrap();
    let tools = tools(MEGABYTE);
    let schema = tokenizer.count(&tools.to_string()).unwrap().tokens();
    assert!(schema > 100_000, "{schema}");
    for (fields, prompt) in [
        // A small request's own prompt is all but the token of its reply.
        (json!({"model": "vast", "tools": tools}), schema + SMALL - 1),
        // A message is its role and its text, a token each, and four around them; three are before the reply.
        (
            json!({"model": "vast", "messages": messages(10_000)}),
            10_000 * (1 + 1 + 4) + 3,
        ),
    ] {
        let request = Sent::request(post(CHAT, &[], chat(&fields)));
        let answer = world.send(Door::Plain, &account.shown, request).await;
        assert_eq!(answer.status, Some(200), "{answer:?}");
        world.settled("it").await;
        let row = world.rows(&account).pop().unwrap();
        assert_eq!(
            (row.prompt_tokens, row.completion_tokens),
            (prompt, 1),
            "{row:#?}"
        );
        assert_eq!(row.charge.0, prompt + 10, "{row:#?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_gets_no_limits_of_its_own() {
    let world = World::new(Quota::requests_per_day(3)).await;
    let account = world.account("somebody", &Holder::Plain);
    let ask = async |door: Door, forwarded: String| {
        let headers = [("x-forwarded-for", forwarded.as_str())];
        let request = post(CHAT, &headers, chat(&json!({"max_tokens": 1})));
        let answer = world.send(door, &account.shown, Sent::request(request)).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let told = body["error"]["message"].as_str().unwrap_or_default().to_owned();
        (answer.status.unwrap(), told)
    };
    // Nobody believes who connects, whatever he says.
    for at in 0..5 {
        let (status, told) = ask(Door::Plain, format!("203.0.113.{at}")).await;
        assert_eq!(status, if at < 3 { 200 } else { 429 }, "{told}");
        assert!(at < 3 || told.contains("address"), "{told}");
    }
    // Of a proxy that is believed the last hop counts, and not those that the client put before it.
    for at in 0..5 {
        let forged = format!("203.0.113.{at}, 198.51.100.7");
        let (status, told) = ask(Door::BehindProxies, forged).await;
        assert_eq!(status, if at < 3 { 200 } else { 429 }, "{told}");
    }
    // Another client of the same proxy has its own.
    let (status, told) = ask(Door::BehindProxies, "198.51.100.8".to_owned()).await;
    assert_eq!(status, 200, "{told}");
    world.stop().await;
}
