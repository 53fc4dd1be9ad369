//! Flags that are made of a schema.

use std::{collections::BTreeMap, fs};

use clap::{ArgMatches, Command, error::ErrorKind};
use node_args::config::{self, KeyConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::config::{Configuration, Loader, Origin, Period, Schema};

/// A program's options.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Program {
    /// Whether it judges.
    judge: bool,
    /// Who is named.
    #[schemars(extend("x-flag" = "name"))]
    names: BTreeMap<String, i64>,
    /// The server.
    server: Server,
}

/// The server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Server {
    /// Where it listens.
    #[schemars(extend("x-flag" = "listen", "x-required" = true))]
    listen: String,
    /// How long it waits.
    wait: Period,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            judge: true,
            names: BTreeMap::new(),
            server: Server::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: String::new(),
            wait: Period::seconds(30),
        }
    }
}

impl Configuration for Program {}

fn command() -> Command {
    config::command::<Program>(Command::new("program"))
}

fn given(arguments: &[&str]) -> ArgMatches {
    command().get_matches_from([&["program"], arguments].concat())
}

#[test]
fn what_is_given_by_flags_is_loaded() {
    let check = |arguments: &[&str], expect: (bool, &[(&str, i64)], u64)| {
        let matches = given(&[&["--listen", "here:1"], arguments].concat());
        let program = config::loader::<Program>(&matches).load().unwrap().into_value();
        let names: Vec<_> = program
            .names
            .iter()
            .map(|(name, value)| (&**name, *value))
            .collect();
        assert_eq!(
            (program.judge, &*names, program.server.wait.get().as_secs()),
            expect,
            "{arguments:?}"
        );
        assert_eq!(program.server.listen, "here:1");
    };
    check(&[], (true, &[], 30));
    check(&["--judge=false"], (false, &[], 30));
    check(&["--judge"], (true, &[], 30));
    check(
        &["--name=a=1", "--name", "b=-2"],
        (true, &[("a", 1), ("b", -2)], 30),
    );
    check(&["--server-wait", "90"], (true, &[], 90));
    check(&["--server-wait=5m"], (true, &[], 300));
}

#[test]
fn a_file_is_read_and_flags_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("program.toml");
    fs::write(
        &file,
        "judge = false\n[server]\nlisten = \"there:1\"\nwait = \"1s\"\n",
    )
    .unwrap();
    let matches = given(&["--config", file.to_str().unwrap(), "--listen", "here:1"]);
    let loaded = config::loader::<Program>(&matches).load().unwrap();
    assert!(!loaded.value().judge);
    assert_eq!(loaded.value().server.listen, "here:1");
    let origins: Vec<_> = loaded.effective().map(|option| option.origin).collect();
    assert_eq!(origins[1], Origin::Default);
    assert_eq!(origins[2], Origin::Flag("listen".to_owned()));
    assert!(matches!(origins[3], Origin::File { line: 4, .. }), "{origins:?}");
}

#[test]
fn every_problem_of_flags_is_told_at_once() {
    let matches = given(&["--judge=maybe", "--name", "a", "--server-wait", "soon"]);
    let problems = config::loader::<Program>(&matches).load().unwrap_err();
    let keys: Vec<_> = problems
        .as_slice()
        .iter()
        .map(|problem| problem.key().unwrap())
        .collect();
    assert_eq!(keys, ["judge", "names", "server.wait", "server.listen"]);
}

#[test]
fn help_has_every_option_with_its_default_and_its_variable() {
    let help = command().render_long_help().to_string();
    let schema = Schema::of::<Program>();
    for setting in schema.settings() {
        assert!(help.contains(&format!("--{}", setting.flag())), "{help}");
        assert!(help.contains(setting.doc().trim_end_matches('.')), "{help}");
        assert!(help.contains(&schema.variable(setting)), "{help}");
    }
    for shown in ["[default: true]", "[default: 30s]", "[required]"] {
        assert!(help.contains(shown), "{help}");
    }
}

#[test]
fn a_question_takes_every_flag_and_shows_those_that_matter() {
    let mut command = config::flags_of::<Program>(Command::new("ask"), &["server"]);
    let help = command.render_long_help().to_string();
    assert!(help.contains("--listen") && !help.contains("--judge"), "{help}");
    let matches = command.get_matches_from(["ask", "--judge=false", "--listen=here:1"]);
    assert!(!config::loader::<Program>(&matches).load().unwrap().value().judge);
}

#[test]
fn questions_about_the_configuration_are_answered() {
    let answer = |arguments: &[&str]| config::answer::<Program>("program", &given(arguments));
    assert!(answer(&["--judge"]).is_none());
    for question in ["reference", "example"] {
        answer(&["config", question]).unwrap().unwrap();
    }
    for question in ["check", "show"] {
        answer(&["config", question, "--listen", "here:1"])
            .unwrap()
            .unwrap();
        let error = answer(&["config", question]).unwrap().unwrap_err();
        assert_eq!(error.code(), "bad_configuration");
    }
}

#[test]
fn flags_before_a_question_are_refused() {
    for before in [&["--judge"][..], &["--listen", "here:1"]] {
        let arguments = [&["program"], before, &["config", "check"]].concat();
        let error = command().try_get_matches_from(arguments).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    }
}

#[test]
fn a_secret_that_stands_for_its_variable_is_refused_and_not_echoed() {
    let check = |name: &str, expect: bool| {
        let loader = Loader::<KeyConfig>::new().flag("key", "node");
        let loaded = loader.flag("passphrase-env", name).load();
        let said = loaded.map(|_| ()).map_err(|problems| problems.to_string());
        assert_eq!(said.is_ok(), expect, "{said:?}");
        assert!(!said.is_err_and(|said| said.contains(name)));
    };
    check("SYNAPSE_PASSPHRASE", true);
    check("_p4", true);
    check("correct horse battery staple", false);
    check("4horses", false);
    check("s3cr3t!", false);
}

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}
