//! Files that are wrong, and what is said of each.

use std::{fmt::Write as _, fs};

use synapse_core::config::Loader;

use crate::config::Program;

const FILES: [(&str, &[u8]); 36] = [
    ("nothing at all", b""),
    ("a key of the top that is mistyped", b"data_dri = \"x\"\n[pool]\ntoken = \"t\"\n"),
    ("a key of a section that is mistyped", b"[pool]\ntoken = \"t\"\natempts = 2\n"),
    ("a key with dashes", b"data-dir = \"x\"\n[pool]\ntoken = \"t\"\n"),
    ("a key with capitals", b"[pool]\ntoken = \"t\"\nAttempts = 2\n"),
    ("a key in the wrong section", b"[pool]\ntoken = \"t\"\nlisten = \"x\"\n"),
    ("a key without its section", b"attempts = 2\n[pool]\ntoken = \"t\"\n"),
    ("a key that is like nothing", b"[pool]\ntoken = \"t\"\nzzzzzzzz = 2\n"),
    ("a key in quotes, with its dot", b"\"pool.attempts\" = 2\n[pool]\ntoken = \"t\"\n"),
    ("a section that is mistyped", b"[pol]\ntoken = \"t\"\nattempts = 0\n"),
    ("a section within another", b"[pool]\ntoken = \"t\"\n[server.limit]\nbytes = 1\n"),
    ("a section that is a value", b"server = 3\n[pool]\ntoken = \"t\"\n"),
    ("an array of sections", b"[[pool]]\ntoken = \"t\"\n"),
    ("a value that is a section", b"[pool]\ntoken = \"t\"\n[pool.attempts]\nmost = 1\n"),
    ("a text for a number", b"[pool]\ntoken = \"t\"\nattempts = \"three\"\n"),
    ("a fraction for a whole number", b"[pool]\ntoken = \"t\"\nattempts = 2.5\n"),
    ("a number below the least", b"[pool]\ntoken = \"t\"\nattempts = 0\n"),
    ("a number above the most", b"[pool]\ntoken = \"t\"\nattempts = 17\n"),
    ("a number below zero", b"[server.limits]\nbytes = -1\n[pool]\ntoken = \"t\"\n"),
    ("a number of too many digits", b"[server.limits]\nbytes = 99999999999999999999\n[pool]\ntoken = \"t\"\n"),
    ("a port that is none", b"[server]\nmetrics = 65536\n[pool]\ntoken = \"t\"\n"),
    ("a number that is none", b"[pool]\ntoken = \"t\"\nshare = nan\n"),
    ("a number for a switch", b"[pool]\ntoken = \"t\"\ntend = 1\n"),
    ("a word that is mistyped", b"[pool]\ntoken = \"t\"\nchoice = \"turn\"\n"),
    ("a word that is like nothing", b"[pool]\ntoken = \"t\"\nchoice = \"luck of the draw\"\n"),
    ("a length of time without a unit that is known", b"[server.limits]\nidle = \"3 fortnights\"\n[pool]\ntoken = \"t\"\n"),
    ("a length of time that is too short", b"[server.limits]\nidle = 0.5\n[pool]\ntoken = \"t\"\n"),
    ("a date", b"[pool]\ntoken = 2026-01-01\n"),
    ("a list with another thing in it", b"[server]\nnames = [\"a\", 2]\n[pool]\ntoken = \"t\"\n"),
    ("a table with another thing in it", b"[models]\na = 2\n[pool]\ntoken = \"t\"\n"),
    ("a key that comes twice", b"[pool]\ntoken = \"t\"\nattempts = 2\nattempts = 3\n"),
    ("a section that comes twice", b"[pool]\ntoken = \"t\"\n[server]\nmetrics = 1\n[pool]\nattempts = 0\n"),
    ("a header that is not closed", b"[pool\ntoken = \"t\"\nattempts = 0\n"),
    ("values that are missing, and more that is wrong", b"[pool]\ntoken = \"t\"\nattempts =\nshare = 7\ntend = maybe\n"),
    ("bytes that are no text", b"[pool]\ntoken = \"\xff\"\n"),
    (
        "everything at once, and options that each are right and do not fit",
        b"colour = 1\n[server]\nmetrics = 8080\n[server.limits]\nbytes = 0\n[pool]\ntoken = \"\"\nversion = \"one\"\n",
    ),
];

#[test]
fn each_wrong_file_is_told_with_line_and_key_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program.toml");
    let mut table = String::new();
    for (what, text) in FILES {
        fs::write(&path, text).unwrap();
        let problems = Loader::<Program>::new()
            .file(&path)
            .load()
            .map(|_| ())
            .unwrap_err();
        write_case(
            &mut table,
            what,
            &problems
                .to_string()
                .replace(path.to_str().unwrap(), "program.toml"),
        );
    }
    // What does not fit is asked only of options that each are right.
    for (what, text) in [
        (
            "options that each are right and do not fit",
            "[server]\nmetrics = 8080\n[server.limits]\nbytes = 0\n[pool]\ntoken = \"t\"\n",
        ),
        (
            "a value that only its type refuses",
            "[pool]\ntoken = \"t\"\nversion = \"one\"\n",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let problems = Loader::<Program>::new()
            .file(&path)
            .load()
            .map(|_| ())
            .unwrap_err();
        write_case(
            &mut table,
            what,
            &problems
                .to_string()
                .replace(path.to_str().unwrap(), "program.toml"),
        );
    }
    insta::assert_snapshot!("config_wrong_files", table);
}

#[test]
fn what_is_no_file_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.toml");
    fs::write(&large, "#".repeat(1024 * 1024 + 1)).unwrap();
    let mut table = String::new();
    for (what, path) in [
        ("no file", folder.path().join("none.toml")),
        ("a directory", folder.path().to_owned()),
        ("too large a file", large),
        #[cfg(target_os = "linux")]
        ("a device", "/dev/zero".into()),
    ] {
        let problems = Loader::<Program>::new()
            .file(&path)
            .load()
            .map(|_| ())
            .unwrap_err();
        let shown = problems.to_string().replace(path.to_str().unwrap(), "PATH");
        write_case(&mut table, what, &shown);
    }
    #[cfg(target_os = "linux")]
    insta::assert_snapshot!("config_no_files", table);
}

#[test]
fn each_wrong_flag_and_variable_is_told_by_its_name() {
    let environment = crate::config::environment(&[
        ("SYNAPSE_POOL__ATTEMPT", "3"),
        ("SYNAPSE_POOL__TOKEN", ""),
        ("SYNAPSE_POOL__TEND", "yes"),
        ("SYNAPSE_SERVER__LIMITS__BYTES", "many"),
    ]);
    let loader = Loader::<Program>::new().environment(environment);
    let loader = loader
        .flag("pool-atempts", "3")
        .flag("model", "x")
        .flag("pool-share", "1.5");
    insta::assert_snapshot!("config_wrong_flags", loader.load().map(|_| ()).unwrap_err());
}

fn write_case(table: &mut String, what: &str, problems: &str) {
    let _ = writeln!(table, "{what}");
    for problem in problems.lines() {
        let _ = writeln!(table, "    {problem}");
    }
}
