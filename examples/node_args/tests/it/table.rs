//! Lines and columns.

use node_args::table::{Column, Look, Page, Span, Table};

fn page() -> Page {
    let mut page = Page::new();
    page.line([Span::new("subnet "), Span::new("7").look(Look::Good)]);
    let mut table = Table::new([
        Column::Words("MINER"),
        Column::Numbers("ASKED"),
        Column::Words("REASON"),
    ]);
    table.row(["miner-1".into(), "12".into(), "answered 12 of 12".into()]);
    table.row(["m".into(), "1200".into(), Span::new("").look(Look::Bad)]);
    page.table(table);
    page
}

#[test]
fn words_stand_on_the_left_and_numbers_on_the_right() {
    let expected =
        "subnet 7\n  MINER    ASKED  REASON\n  miner-1     12  answered 12 of 12\n  m         1200\n";
    assert_eq!(page().render(false, None), expected);
}

#[test]
fn lines_are_cut_at_the_terminals_width() {
    let shown = page().render(false, Some(22));
    assert_eq!(
        shown,
        "subnet 7\n  MINER    ASKED  REA…\n  miner-1     12  ans…\n  m         1200\n"
    );
    assert_eq!(Page::new().render(true, Some(0)), "");
    assert!(page().render(true, Some(0)).lines().all(str::is_empty));
}

#[test]
fn a_text_goes_on_in_the_next_line() {
    let mut page = Page::new();
    page.text(Span::new("ALERT no_stake: 5GrwvaEF5zXb26 has too little").look(Look::Bad));
    let lines = |width| {
        let shown = page.render(false, width);
        shown.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(None), ["ALERT no_stake: 5GrwvaEF5zXb26 has too little"]);
    assert_eq!(
        lines(Some(15)),
        ["ALERT no_stake:", "5GrwvaEF5zXb26", "has too little"]
    );
    assert_eq!(
        lines(Some(10)),
        ["ALERT", "no_stake:", "5GrwvaEF5z", "Xb26 has", "too little"]
    );
    assert!(
        page.render(true, Some(10))
            .starts_with("\u{1b}[31mALERT\u{1b}[0m\n")
    );
    assert!(lines(Some(0)).iter().all(|line| line.chars().count() <= 1));
}

#[test]
fn colours_come_only_where_they_are_wanted() {
    assert!(
        page()
            .render(true, None)
            .starts_with("subnet \u{1b}[32m7\u{1b}[0m\n  \u{1b}[1mMINER\u{1b}[0m")
    );
    assert!(!page().render(false, None).contains('\u{1b}'));
}

#[test]
fn what_others_say_moves_no_cursor() {
    let mut page = Page::new();
    page.line([Span::new("a\u{1b}[2Jb\nc\u{9b}1md\r")]);
    assert_eq!(page.render(true, None), "a [2Jb c 1md\n");
}
