//! Price books that cannot be: the validator says where, what and what to do, and starts nothing.

use crate::refused::refuses;

/// Checks that each price book is refused with this line.
async fn check_book(cases: &[(&str, String, &str)]) {
    for (name, book, line) in cases {
        let line = format!("FILE:6:1: billing.prices: {line}");
        refuses(
            name,
            "[billing]\nprices = \"BOOK\"\n",
            Some(book.as_bytes()),
            &[&line],
        )
        .await;
    }
}

/// A version of a price book with one model; six lines and an empty one.
fn version(number: &str, from: &str, more: &str, prompt: &str) -> String {
    format!(
        "[[version]]\nnumber = {number}\nfrom = {from}\n{more}\n[version.models.good]\nprompt = {prompt}\ncompletion = \"2\"\n\n"
    )
}

#[tokio::test]
async fn price_books_that_cannot_be() {
    let amount = "write units, with at most six digits behind a point, such as 12.50";
    let quotes =
        "an amount is written in quotes, in units with at most six digits behind the point, such as \"0.15\"";
    let day = "write a day of UTC such as 2026-11-01, or a time such as 2026-11-01T09:00:00Z";
    let costs = |prompt: &str| version("1", "2026-01-01", "", prompt);
    let begins = |from: &str| version("1", from, "", "\"1\"");
    let two = |until: &str, number: &str, from: &str| {
        version("1", "2026-01-01", until, "\"1\"") + &version(number, from, "", "\"1\"")
    };
    check_book(&[
        (
            "a gap",
            two("until = 2026-02-01", "2", "2026-03-01"),
            "BOOK:9: nothing has a price from 2026-02-01T00:00:00Z, when version 1 ends, until 2026-03-01T00:00:00Z, when \
             version 2 begins",
        ),
        (
            "a gap of a second",
            two("until = 2026-02-01T11:59:59Z", "2", "2026-02-01T12:00:00Z"),
            "BOOK:9: nothing has a price from 2026-02-01T11:59:59Z, when version 1 ends, until 2026-02-01T12:00:00Z, when \
             version 2 begins",
        ),
        (
            "an end after which nothing has a price",
            version("1", "2026-01-01", "until = 2026-03-01", "\"1\""),
            "BOOK:1: this version ends, and none begins then; leave out until, or add the next",
        ),
        (
            "two versions at once",
            two("until = 2026-03-01", "2", "2026-02-01"),
            "BOOK:9: version 1 holds until 2026-03-01T00:00:00Z, and version 2 from 2026-02-01T00:00:00Z already",
        ),
        (
            "two versions from the same day",
            two("", "2", "2026-01-01"),
            "BOOK:9: version 2 does not begin after version 1 does, which is 2026-01-01T00:00:00Z",
        ),
        (
            "a number twice",
            two("", "1", "2026-02-01"),
            "BOOK:9: version 1 comes after version 1; each has the next number",
        ),
        (
            "an end before the beginning",
            two("until = 2025-12-31", "2", "2026-02-01"),
            "BOOK:1: this version ends before it begins",
        ),
        (
            "a model that has a price and then none",
            costs("\"1\"") + &version("2", "2026-02-01", "", "\"1\"").replace("good", "other"),
            "BOOK:9: \"good\" has a price in version 1 and none in version 2; give it one, or write withdrawn = true",
        ),
        (
            "a negative price",
            costs("\"-1\""),
            &format!("BOOK:6: \"-1\" is no amount: it has other characters than digits and one point; {amount}"),
        ),
        (
            "a price of less than a millionth",
            costs("\"0.0000001\""),
            &format!("BOOK:6: \"0.0000001\" is no amount: it is finer than a millionth; {amount}"),
        ),
        (
            "a price that no number holds",
            costs("\"99999999999999999999\""),
            &format!("BOOK:6: \"99999999999999999999\" is no amount: it is too large; {amount}"),
        ),
        (
            "a price of NaN",
            costs("\"nan\""),
            &format!("BOOK:6: \"nan\" is no amount: it has other characters than digits and one point; {amount}"),
        ),
        ("a price that is a float", costs("0.15"), &format!("BOOK:6: {quotes}")),
        (
            "nothing for nothing, unsaid",
            costs("\"0\"").replace("\"2\"", "\"0\""),
            "BOOK:5: \"good\" costs nothing; where that is meant, write free = true",
        ),
        (
            "a price for prompts alone",
            costs("\"1\"").replace("completion = \"2\"", ""),
            "BOOK:5: \"good\" has no price; write both prompt and completion, or free = true",
        ),
        (
            "a price, and free",
            costs("\"1\"\nfree = true"),
            "BOOK:5: \"good\" has a price, is free, or is withdrawn: only one of them",
        ),
        (
            "a day that there is not",
            begins("2026-02-30"),
            "BOOK:3: invalid date, expected day between 01 and 28",
        ),
        ("a date in quotes", begins("\"2026-02-01\""), &format!("BOOK:3: this is no date; {day}")),
        (
            "a time of somewhere else",
            begins("2026-02-01T00:00:00+02:00"),
            &format!("BOOK:3: this time is not said to be UTC; {day}"),
        ),
        (
            "version 0",
            version("0", "2026-01-01", "", "\"1\""),
            "BOOK:2: a version's number is 1 or more",
        ),
        (
            "a name that nobody knows",
            version("1", "2026-01-01", "currency = \"EUR\"", "\"1\""),
            "BOOK:4: nobody knows \"currency\" here, only number, from, until, models, default",
        ),
        ("one version that is no list", "version = 1".to_owned(), "BOOK:1: write [[version]], since there may be several"),
        ("no prices", String::new(), "BOOK:1: it has no prices; write [[version]]"),
        ("a mebibyte and more", "#".repeat((1 << 20) + 1), "BOOK:1: it is larger than a mebibyte"),
    ])
    .await;
    let bytes = Some(&b"\xff"[..]);
    let line =
        "FILE:6:1: billing.prices: the price book BOOK cannot be read: stream did not contain valid UTF-8";
    refuses("no text", "[billing]\nprices = \"BOOK\"\n", bytes, &[line]).await;
}
