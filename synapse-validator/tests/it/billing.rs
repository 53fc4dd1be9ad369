//! Price books: what they say, and what is refused as they are read.

use std::fs;

use synapse_core::{ErrorKind, Micros};
use synapse_validator::billing::{Price, PriceBook};

/// 2026-11-01T00:00:00Z.
const NOVEMBER: u64 = 1_793_491_200_000;
const DAY: u64 = 86_400_000;

const BOOK: &str = r#"
[[version]]
number = 1
from = 2026-11-01

[version.models.small]
prompt = "0.15"
completion = "0.60"

[version.models."with \"quotes\".and dots"]
prompt = "0.000001"
completion = "0"

[version.models.house]
free = true

[[version]]
number = 3
from = 2026-12-01T09:30:00Z

[version.models.small]
prompt = "0.12"
completion = "0.60"

[version.models.house]
withdrawn = true

[version.default]
prompt = "5"
completion = "15.5"
"#;

fn book() -> PriceBook {
    BOOK.parse().unwrap()
}

fn quoted(book: &PriceBook, model: &str, at: u64) -> (Option<u32>, Price) {
    let quote = book.quote(model, at).unwrap();
    (quote.version.map(|version| version.0), quote.price)
}

fn price(prompt: &str, completion: &str) -> Price {
    Price::per_million(prompt.parse().unwrap(), completion.parse().unwrap())
}

#[test]
fn each_version_holds_from_its_date_until_the_next() {
    let book = book();
    let second = NOVEMBER + 30 * DAY + 9 * 3_600_000 + 30 * 60_000;
    let small = |at| quoted(&book, "small", at);
    assert_eq!(small(NOVEMBER), (Some(1), price("0.15", "0.60")));
    assert_eq!(small(second - 1), (Some(1), price("0.15", "0.60")));
    assert_eq!(small(second), (Some(3), price("0.12", "0.60")));
    assert_eq!(small(second * 2), (Some(3), price("0.12", "0.60")));
    let odd = "with \"quotes\".and dots";
    assert_eq!(quoted(&book, odd, NOVEMBER), (Some(1), price("0.000001", "0")));
    assert_eq!(quoted(&book, odd, second), (Some(3), price("5", "15.5")));
    assert_eq!(quoted(&book, "house", NOVEMBER), (Some(1), Price::FREE));

    let refused = |model, at| {
        let error = book.quote(model, at).unwrap_err();
        (error.kind(), error.code().to_owned())
    };
    assert_eq!(
        refused("small", NOVEMBER - 1),
        (ErrorKind::Unavailable, "no_prices_yet".into())
    );
    let not_priced = (ErrorKind::NotFound, "model_not_priced".to_owned());
    assert_eq!(refused("Small", NOVEMBER), not_priced, "names are exact");
    assert_eq!(refused("house", second), not_priced, "it is withdrawn");
}

#[test]
fn without_a_book_everything_costs_nothing() {
    assert_eq!(quoted(&PriceBook::free(), "any", 0), (None, Price::FREE));
    let flat = PriceBook::flat(price("1", "2"));
    assert_eq!(quoted(&flat, "any", 0), (Some(1), price("1", "2")));
}

#[test]
fn a_book_is_printed_as_it_reads_back() {
    let printed = book().to_string();
    assert_eq!(printed.parse::<PriceBook>().unwrap(), book(), "{printed}");
    let flat = PriceBook::flat(price("1", "2"));
    assert_eq!(flat.to_string().parse::<PriceBook>().unwrap(), flat);
}

#[test]
fn what_a_book_may_not_say_is_refused_with_its_line() {
    fn check(from: &str, to: &str, expect: &str) {
        let text = BOOK.replacen(from, to, 1);
        assert_ne!(text, BOOK, "{from} is in the book");
        let error = text.parse::<PriceBook>().expect_err(to);
        assert_eq!(error.code(), "invalid_price_book");
        assert_eq!(error.to_string(), format!("price book:{expect}"));
    }
    let amount =
        "an amount is written in quotes, in units with at most six digits behind the point, such as \"0.15\"";
    check("\"0.15\"", "0.15", &format!("7: {amount}"));
    check("\"0.15\"", "15", &format!("7: {amount}"));
    check("\"0.15\"", "-1", &format!("7: {amount}"));
    let hint = "write units, with at most six digits behind a point, such as 12.50";
    check(
        "\"0.15\"",
        "\"-0.15\"",
        &format!("7: \"-0.15\" is no amount: it has other characters than digits and one point; {hint}"),
    );
    check(
        "\"0.15\"",
        "\"0.0000001\"",
        &format!("7: \"0.0000001\" is no amount: it is finer than a millionth; {hint}"),
    );
    check(
        "prompt = \"0.15\"",
        "",
        "6: \"small\" has no price; write both prompt and completion, or free = true",
    );
    check(
        "prompt = \"0.15\"\ncompletion = \"0.60\"",
        "prompt = \"0\"\ncompletion = \"0\"",
        "6: \"small\" costs nothing; where that is meant, write free = true",
    );
    check(
        "free = true",
        "free = true\nprompt = \"1\"",
        "14: \"house\" has a price, is free, or is withdrawn: only one of them",
    );
    check("free = true", "free = \"yes\"", "15: it is true or false");
    check(
        "free = true",
        "",
        "14: \"house\" has no price; write both prompt and completion, or free = true",
    );
    check(
        "prompt = \"0.15\"",
        "promt = \"0.15\"",
        "7: nobody knows \"promt\" here, only prompt, completion, free, withdrawn",
    );
    check(
        "number = 1",
        "number = 1\ncurrency = \"EUR\"",
        "4: nobody knows \"currency\" here, only number, from, until, models, default",
    );
    check("[[version]]", "[version]", "17: duplicate key");
    check(
        "[[version]]",
        "[[versions]]\n[[version]]",
        "2: nobody knows \"versions\" here, only [[version]]",
    );
    check("number = 1", "number = 0", "3: a version's number is 1 or more");
    check("number = 1", "number = -1", "3: a version's number is 1 or more");
    check(
        "number = 1",
        "number = 1.5",
        "3: a version's number is a whole number",
    );
    check("number = 1", "", "2: this version has no number");
    check(
        "from = 2026-11-01",
        "",
        "2: this version does not say from when it holds",
    );
    let form = "write a day of UTC such as 2026-11-01, or a time such as 2026-11-01T09:00:00Z";
    check(
        "2026-11-01",
        "\"2026-11-01\"",
        &format!("4: this is no date; {form}"),
    );
    check(
        "2026-11-01",
        "09:00:00",
        &format!("4: this time has no date; {form}"),
    );
    check(
        "09:30:00Z",
        "09:30:00",
        &format!("19: this time is not said to be UTC; {form}"),
    );
    check(
        "09:30:00Z",
        "09:30:00+01:00",
        &format!("19: this time is not said to be UTC; {form}"),
    );
    check(
        "09:30:00Z",
        "09:30:00.5Z",
        &format!("19: a version begins at a whole second; {form}"),
    );
    check(
        "2026-11-01",
        "1969-11-01",
        &format!("4: there is no such day; {form}"),
    );
}

#[test]
fn versions_follow_each_other_without_a_gap() {
    fn check(from: &str, to: &str, expect: &str) {
        let text = BOOK.replacen(from, to, 1);
        let error = text.parse::<PriceBook>().expect_err(to);
        assert_eq!(error.to_string(), format!("price book:{expect}"));
    }
    check(
        "number = 3",
        "number = 1",
        "17: version 1 comes after version 1; each has the next number",
    );
    check(
        "number = 1",
        "number = 4",
        "17: version 3 comes after version 4; each has the next number",
    );
    check(
        "2026-12-01T09:30:00Z",
        "2026-11-01",
        "17: version 3 does not begin after version 1 does, which is 2026-11-01T00:00:00Z",
    );
    check(
        "from = 2026-11-01",
        "from = 2026-11-01\nuntil = 2026-12-01",
        "18: nothing has a price from 2026-12-01T00:00:00Z, when version 1 ends, until 2026-12-01T09:30:00Z, when version \
         3 begins",
    );
    check(
        "from = 2026-11-01",
        "from = 2026-11-01\nuntil = 2026-12-02",
        "18: version 1 holds until 2026-12-02T00:00:00Z, and version 3 from 2026-12-01T09:30:00Z already",
    );
    check(
        "from = 2026-11-01",
        "from = 2026-11-01\nuntil = 2026-11-01",
        "2: this version ends before it begins",
    );
    check(
        "from = 2026-12-01T09:30:00Z",
        "from = 2026-12-01T09:30:00Z\nuntil = 2027-01-01",
        "17: this version ends, and none begins then; leave out until, or add the next",
    );
    check(
        "[version.default]\nprompt = \"5\"\ncompletion = \"15.5\"",
        "",
        "17: \"with \\\"quotes\\\".and dots\" has a price in version 1 and none in version 3; give it one, or write \
         withdrawn = true",
    );
    check(
        "[[version]]",
        "[[version]]\nnumber = 1\nfrom = 2026-10-01\ndefault.free = true\n[[version]]",
        "6: version 1 comes after version 1; each has the next number",
    );
    check(
        "[[version]]\nnumber = 1",
        "[[version]]\nnumber = 1\nfrom = 2026-10-01\ndefault.free = true\n[[version]]\nnumber = 2",
        "6: version 1 has a price for models that it does not name, and version 2 has none; write [version.default]",
    );
    let seamless = BOOK.replacen(
        "from = 2026-11-01",
        "from = 2026-11-01\nuntil = 2026-12-01T09:30:00Z",
        1,
    );
    assert!(seamless.parse::<PriceBook>().is_ok());
    assert!("".parse::<PriceBook>().is_err());
    let large = format!("# {}\n{BOOK}", "x".repeat(1024 * 1024));
    assert_eq!(
        large.parse::<PriceBook>().unwrap_err().message(),
        "price book:1: it is larger than a mebibyte"
    );
}

#[test]
fn what_was_in_effect_never_changes() {
    let book = book();
    let now = NOVEMBER + DAY;
    let other = |from: &str, to: &str| BOOK.replacen(from, to, 1).parse::<PriceBook>().unwrap();
    let refused = |next: &PriceBook, at: u64| book.check_successor(next, at).unwrap_err().to_string();

    let dearer = other("\"0.15\"", "\"0.16\"");
    assert_eq!(
        refused(&dearer, now),
        "version 1 of the prices, by which requests were charged, is another now; leave it as it was, and give the new \
         prices a version of their own"
    );
    book.check_successor(&dearer, NOVEMBER - 1)
        .expect("nobody was charged by it yet");
    assert!(
        book.check_successor(&other("2026-11-01", "2026-10-31"), now)
            .is_err()
    );
    let gone = other("number = 1", "number = 2");
    assert!(
        refused(&gone, now).starts_with("version 1 of the prices, by which requests were charged, is gone")
    );
    book.check_successor(&other("\"0.12\"", "\"0.11\""), now)
        .expect("version 3 is yet to come");
    assert!(
        book.check_successor(&other("\"0.12\"", "\"0.11\""), now + 60 * DAY)
            .is_err()
    );
    book.check_successor(
        &other(
            "from = 2026-11-01",
            "from = 2026-11-01\nuntil = 2026-12-01T09:30:00Z",
        ),
        now,
    )
    .expect("its end is the next one's beginning");
}

#[test]
fn a_restart_with_other_prices_under_an_old_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let noted = dir.path().join("prices.toml");
    let now = NOVEMBER + DAY;
    book().note(&noted, now).unwrap();
    book().note(&noted, now).unwrap();
    let dearer: PriceBook = BOOK.replacen("\"0.15\"", "\"0.16\"", 1).parse().unwrap();
    assert_eq!(
        dearer.note(&noted, now).unwrap_err().code(),
        "price_version_changed"
    );
    assert_eq!(PriceBook::read(&noted).unwrap(), book(), "nothing changed");
    let later: PriceBook = BOOK.replacen("\"0.12\"", "\"0.11\"", 1).parse().unwrap();
    later.note(&noted, now).unwrap();
    assert_eq!(PriceBook::read(&noted).unwrap(), later);
    assert_eq!(
        book()
            .note(dir.path().join("nowhere/prices.toml"), now)
            .unwrap_err()
            .code(),
        "price_book_unwritten"
    );
}

#[test]
fn a_file_is_read_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.toml");
    assert_eq!(
        PriceBook::read(&path).unwrap_err().code(),
        "price_book_unreadable"
    );
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(
        PriceBook::read(&path).unwrap_err().code(),
        "price_book_unreadable"
    );
    fs::write(&path, "[[version]]\nnumber = \n").unwrap();
    let error = PriceBook::read(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: ", path.display())), "{error}");
    fs::write(&path, BOOK).unwrap();
    assert_eq!(PriceBook::read(&path).unwrap(), book());
}

#[test]
fn charges_of_small_prices_are_exact() {
    // A millionth of a unit for a million tokens: the finest price there is.
    let fine = price("0.000001", "0");
    assert_eq!(fine.charge(1_000_000, 0), Some(Micros(1)));
    assert_eq!(fine.charge(1_000_001, 0), Some(Micros(2)));
    // 0.075 units a million: 7.5 millionths for a hundred tokens, once for prompt and reply together.
    let price = price("0.075", "0.075");
    assert_eq!(price.charge(100, 0), Some(Micros(8)));
    assert_eq!(price.charge(100, 100), Some(Micros(15)));
}
