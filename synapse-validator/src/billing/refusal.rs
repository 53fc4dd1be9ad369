//! What is said to who cannot pay.

use std::time::Duration;

use synapse_core::{CallerId, Error, ErrorKind, Micros, Retry};

use super::{accounts::Bill, moment::Moment};
use crate::ledger::{Payer, Span};

/// When to come back where only requests under way are in the way.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a payer may spend, and has left of it.
pub(super) struct Spending<'a> {
    pub(super) bill: &'a Bill<'a>,
    pub(super) payer: &'a Payer,
    pub(super) span: Span,
    pub(super) limit: Micros,
    pub(super) amount: Micros,
    /// What is left of the limit.
    pub(super) left: Micros,
    /// What is left of that beside what is held.
    pub(super) available: Micros,
}

pub(super) fn no_account(caller: Option<&CallerId>) -> Error {
    let who = match caller {
        Some(_) => "this caller never paid anything in",
        None => "nobody is named who could pay",
    };
    Error::new(
        ErrorKind::PaymentRequired,
        "no_account",
        format!("the request costs something, and {who}"),
    )
    .with_hint("ask the gateway's operator for a balance")
}

pub(super) fn insufficient_balance(
    bill: &Bill<'_>,
    amount: Micros,
    balance: Micros,
    available: Micros,
) -> Error {
    let held = balance.minus(available).unwrap_or(Micros::ZERO);
    let held = match held {
        Micros::ZERO => String::new(),
        held => format!(", of which requests under way hold {held}"),
    };
    Error::new(
        ErrorKind::PaymentRequired,
        "insufficient_balance",
        format!("the request may cost {amount}, and the balance is {balance}{held}"),
    )
    .with_param(bill.cap)
    .with_hint(remedy(bill, available, "top up the balance"))
}

pub(super) fn beyond_spend_limit(spending: &Spending<'_>) -> Error {
    let Spending {
        bill,
        span,
        limit,
        amount,
        left,
        available,
        ..
    } = *spending;
    let whose = match spending.payer {
        Payer::Key(_) => "this API key",
        Payer::Caller(_) => "this caller",
    };
    let a_span = match span {
        Span::Month => "a month",
        _ => "a day",
    };
    if amount > limit {
        return Error::invalid(
            "request_exceeds_spend_limit",
            format!("the request may cost {amount}, and {whose} may spend {limit} {a_span}"),
        )
        .with_param(bill.cap)
        .with_hint(remedy(
            bill,
            limit,
            "ask the gateway's operator for a higher limit",
        ));
    }
    let now = Moment(bill.at);
    let today = now.date();
    let end = match span {
        Span::Month => Moment::midnight(today.first_of_next_month()),
        _ => Moment::midnight(today.next()),
    };
    let (wait, else_) = if amount > left {
        let wait = Duration::from_millis(end.0.saturating_sub(now.0));
        (wait, format!("wait until {end}"))
    } else {
        (PATIENCE, "wait until requests under way have ended".to_owned())
    };
    Error::new(
        ErrorKind::RateLimited,
        "spend_limit_reached",
        format!("the request may cost {amount}, and {whose} has {available} left of {limit} {a_span}"),
    )
    .with_retry(Retry::After(wait))
    .with_hint(remedy(bill, available, &else_))
}

/// What the caller can do: ask for less, where that helps, or something else.
fn remedy(bill: &Bill<'_>, available: Micros, else_: &str) -> String {
    match bill.fitting(available) {
        Some(tokens) => format!("set {} to {tokens} or less, or {else_}", bill.cap),
        None => else_.to_owned(),
    }
}
