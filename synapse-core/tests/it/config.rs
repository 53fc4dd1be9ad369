//! Configuration: what is read off a type, which source wins, and a reload.

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use synapse_core::{
    Error,
    config::{Configuration, Live, Loader, Origin, Period, Problems, Schema, Wrong},
};
use tempfile::TempDir;

/// A program's options: one of each kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Program {
    /// A directory of its own.
    #[schemars(extend("x-restart" = true))]
    pub(crate) data_dir: PathBuf,
    /// Models, and the file of each.
    #[schemars(extend("x-flag" = "model"))]
    pub(crate) models: BTreeMap<String, PathBuf>,
    /// The server.
    pub(crate) server: Server,
    /// The pool of miners.
    pub(crate) pool: Pool,
}

/// Where it listens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// The address.
    #[schemars(extend("x-flag" = "listen"))]
    pub(crate) listen: String,
    /// A port for numbers.
    pub(crate) metrics: Option<u16>,
    /// Whom it knows.
    pub(crate) names: Vec<String>,
    /// The limits of one connection.
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// The longest pause.
    #[schemars(extend("x-least" = "1s", "x-most" = "1h"))]
    pub(crate) idle: Period,
    /// The most bytes.
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pool {
    /// Miners asked for one request, at most.
    #[schemars(range(min = 1, max = 16))]
    pub(crate) attempts: u32,
    /// The share that is kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) share: f64,
    /// Whether it looks after them.
    pub(crate) tend: bool,
    /// How it chooses.
    pub(crate) choice: Choice,
    /// The key of its door.
    #[schemars(extend("x-required" = true, "x-secret" = true, "x-example" = "s3cret"))]
    pub(crate) token: String,
    /// The version that it speaks: the schema does not know what is one.
    pub(crate) version: Version,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Choice {
    /// The better of two.
    #[default]
    BetterOfTwo,
    /// In turn.
    Turns,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Version(#[schemars(with = "String")] pub(crate) semver::Version);

impl Default for Program {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            models: BTreeMap::new(),
            // Another default than the section's own.
            server: Server {
                listen: "127.0.0.1:8080".to_owned(),
                ..Server::default()
            },
            pool: Pool::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Period::seconds(60),
            bytes: 4096,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            attempts: 3,
            share: 0.5,
            tend: true,
            choice: Choice::default(),
            token: String::new(),
            version: Version(semver::Version::new(1, 0, 0)),
        }
    }
}

impl Configuration for Program {
    fn check(&self, wrong: &mut Wrong) {
        wrong.within("server", |wrong| {
            if self.server.metrics == Some(8080) {
                wrong.add("metrics", "the server listens there");
            }
            wrong.within("limits", |wrong| {
                if self.server.limits.bytes == 0 {
                    wrong.add("bytes", "nothing fits into none");
                }
            });
        });
    }
}

pub(crate) fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let owned = |text: &str| OsString::from(text);
    variables
        .iter()
        .map(|(name, value)| (owned(name), owned(value)))
        .collect()
}

/// A file that is removed with what is returned.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

pub(crate) fn load(text: &str) -> Result<Program, Problems> {
    let (_folder, path) = file(text);
    Ok(Loader::new().file(path).load()?.into_value())
}

const TOKEN: &str = "[pool]\ntoken = \"s\"\n";

#[test]
fn what_nobody_says_is_the_default_of_the_whole_and_not_of_its_section() {
    let loaded = load("[pool]\ntoken = \"s\"\n[server]\nmetrics = 9\n").unwrap();
    assert_eq!(loaded.server.listen, "127.0.0.1:8080");
    assert_eq!(loaded.server.metrics, Some(9));
    assert_eq!(loaded.server.limits, Limits::default());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_folder, path) = file(&format!("{TOKEN}attempts = 4\nshare = 0.1\ntend = false\n"));
    let variables = environment(&[
        ("SYNAPSE_POOL__SHARE", "0.2"),
        ("SYNAPSE_POOL__TEND", "true"),
        ("HOME", "/"),
        // Without a section it may be another program's.
        ("SYNAPSE_URL", "…"),
    ]);
    let loader = Loader::<Program>::new().file(&path).environment(variables);
    let loaded = loader.flag("pool-tend", "false").load().unwrap();
    let pool = &loaded.value().pool;
    assert_eq!((pool.attempts, pool.share, pool.tend), (4, 0.2, false));
    let origins: BTreeMap<_, _> = loaded
        .effective()
        .map(|option| (option.setting.key().to_owned(), option.origin))
        .collect();
    assert!(matches!(
        origins["pool.attempts"],
        Origin::File {
            line: 3,
            column: 1,
            ..
        }
    ));
    assert_eq!(
        origins["pool.share"],
        Origin::Variable("SYNAPSE_POOL__SHARE".to_owned())
    );
    assert_eq!(origins["pool.tend"], Origin::Flag("pool-tend".to_owned()));
    assert_eq!(origins["pool.choice"], Origin::Default);
}

#[test]
fn flags_and_variables_take_what_a_file_takes() {
    let variables = environment(&[
        ("SYNAPSE_SERVER__NAMES", "a, b"),
        ("SYNAPSE_MODELS", "m=one.gguf"),
        ("SYNAPSE_SERVER__LIMITS__IDLE", "90"),
        ("SYNAPSE_POOL__CHOICE", "turns"),
    ]);
    let loader = Loader::<Program>::new().environment(variables);
    let loader = loader
        .flag("pool-token", "s")
        .flag("model", "a=1.gguf")
        .flag("model", "b=2,3.gguf");
    let program = loader.flag("listen", "[::]:80").load().unwrap().into_value();
    assert_eq!(program.server.names, ["a", "b"]);
    assert_eq!(
        program.models,
        BTreeMap::from(
            [("a", "1.gguf"), ("b", "2,3.gguf")].map(|(name, file)| (name.to_owned(), file.into()))
        )
    );
    assert_eq!(program.server.limits.idle.get(), Duration::from_secs(90));
    assert_eq!(program.pool.choice, Choice::Turns);
    assert_eq!(program.server.listen, "[::]:80");
}

#[test]
fn another_prefix_makes_other_variables() {
    let loader = Loader::<Program>::new().prefix("MINE").environment(environment(&[
        ("MINE_POOL__TOKEN", "s"),
        ("SYNAPSE_POOL__ATTEMPTS", "no number"),
    ]));
    assert_eq!(loader.load().unwrap().value().pool.attempts, 3);
}

#[test]
fn a_variable_with_a_section_or_nearly_a_name_is_refused_where_nobody_knows_it() {
    let wrong = |name: &str| {
        let loader = Loader::<Program>::new().flag("pool-token", "s");
        loader
            .environment(environment(&[(name, "1")]))
            .load()
            .map(|_| ())
            .map_err(|problems| problems.to_string())
    };
    for others in ["SYNAPSE_URL", "SYNAPSE_TOKEN", "SYNAPSE_DIR", "SYNAPSE_"] {
        assert_eq!(wrong(others), Ok(()));
    }
    assert_eq!(
        wrong("SYNAPSE_DATADIR").unwrap_err(),
        "SYNAPSE_DATADIR: there is no such option; did you mean SYNAPSE_DATA_DIR?"
    );
    assert_eq!(
        wrong("SYNAPSE_A__B").unwrap_err(),
        "SYNAPSE_A__B: there is no such option"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_utf_8_is_told_by_its_name() {
    use std::os::unix::ffi::OsStringExt as _;

    let variable = ("SYNAPSE_POOL__TOKEN".into(), OsString::from_vec(vec![0xff]));
    let problems = Loader::<Program>::new()
        .environment([variable])
        .load()
        .unwrap_err();
    assert_eq!(
        problems.to_string(),
        "SYNAPSE_POOL__TOKEN: pool.token: its value is no UTF-8"
    );
}

#[test]
fn a_secret_is_never_shown() {
    let secret = "hunter2";
    let texts = [
        format!("[pool]\ntoken = [\"{secret}\"]\n"),
        format!("[pool]\ntoken = {{ {secret} = \"{secret}\" }}\n"),
        format!("[pool]\ntoken = \"{secret}\"\nattempts = 0\n"),
        format!("[pool]\ntoken = \"{secret}\"\nversion = \"x\"\n"),
        format!("[pool]\ntoken = {secret}\n"),
        format!("[pool]\ntoken = \"{secret}\n"),
    ];
    for text in texts {
        let problems = load(&text).unwrap_err();
        let error = Error::from(problems.clone());
        assert!(
            !format!("{problems} {problems:?} {error} {error:?}").contains(secret),
            "{problems}"
        );
    }
    let loader = Loader::<Program>::new().flag("pool-token", secret);
    let loaded = loader.load().unwrap();
    let shown: Vec<_> = loaded.effective().map(|option| option.value).collect();
    assert!(!format!("{loader:?} {loaded:?} {shown:?}").contains(secret));
}

#[test]
fn an_error_has_a_code_and_every_problem() {
    let error = Error::from(load("a = 1\nb = 2\n").unwrap_err());
    assert_eq!(error.code(), "bad_configuration");
    assert_eq!(error.to_string().lines().count(), 4, "{error}");
}

#[test]
fn a_thousand_problems_are_as_bad_as_a_hundred() {
    let text: String = (0..1000).map(|at| format!("key{at} = 1\n")).collect();
    let problems = load(&text).unwrap_err();
    assert_eq!(problems.as_slice().len(), 101);
    assert!(problems.to_string().ends_with("and more: the rest is not listed"));
}

#[test]
fn a_reload_says_what_changed_and_who_follows_sees_it() {
    let (_folder, path) = file(TOKEN);
    let live = Live::new(Loader::<Program>::new().file(&path)).unwrap();
    let followed = live.follow();
    fs::write(&path, "data_dir = \"/x\"\n[pool]\ntoken = \"t\"\nattempts = 5\n").unwrap();
    let changes = live.reload().unwrap();
    let shown: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "data_dir = \"/x\" (was \"./data\")",
            "pool.attempts = 5 (was 3)",
            "pool.token = (secret) (was (secret))",
        ]
    );
    let restart: Vec<_> = changes.iter().map(|change| change.needs_restart).collect();
    assert_eq!(restart, [true, false, false]);
    assert_eq!(followed.current().pool.attempts, 5);
}

#[test]
fn what_waits_for_a_restart_is_told_until_it_is_as_at_the_start() {
    let (_folder, path) = file(TOKEN);
    let live = Live::new(Loader::<Program>::new().file(&path)).unwrap();
    for at in ["/x", "/x", "/y"] {
        fs::write(&path, format!("data_dir = {at:?}\n{TOKEN}")).unwrap();
        let changes: Vec<_> = live.reload().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(changes, [format!("data_dir = {at:?} (was \"./data\")")]);
    }
    fs::write(&path, TOKEN).unwrap();
    assert_eq!(live.reload().unwrap(), []);
    assert_eq!(live.current().data_dir, PathBuf::from("./data"));
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_why() {
    let (_folder, path) = file(&format!("{TOKEN}attempts = 5\n"));
    let live = Live::new(Loader::<Program>::new().file(&path)).unwrap();
    let before = live.current();
    fs::write(&path, format!("{TOKEN}attempts = 6\nshare = 2.0\n")).unwrap();
    let problems = live.reload().unwrap_err();
    assert_eq!(problems.as_slice()[0].key(), Some("pool.share"));
    fs::remove_file(&path).unwrap();
    assert!(live.reload().is_err());
    assert_eq!(*live.current(), *before);
    fs::write(&path, format!("{TOKEN}attempts = 7\n")).unwrap();
    assert_eq!(live.reload().unwrap().len(), 1);
    assert_eq!(live.current().pool.attempts, 7);
}

#[tokio::test]
async fn who_follows_is_woken_only_where_something_changed() {
    let (_folder, path) = file(TOKEN);
    let live = Live::new(Loader::<Program>::new().file(&path)).unwrap();
    let mut followed = live.follow();
    followed.next().await.unwrap();
    live.reload().unwrap();
    fs::write(&path, format!("{TOKEN}tend = false\n")).unwrap();
    live.reload().unwrap();
    assert!(!followed.next().await.unwrap().pool.tend);
}

#[test]
fn the_example_has_every_option_and_is_the_default() {
    let schema = Schema::of::<Program>();
    let example = schema.example();
    let program = load(&example).unwrap();
    let mut default = Program::default();
    default.pool.token = "s3cret".to_owned();
    assert_eq!(program, default);
    let reference = schema.reference("Options");
    for setting in schema.settings() {
        let name = setting.key().rsplit('.').next().unwrap();
        assert!(example.contains(&format!("{name} = ")), "{name}");
        assert!(reference.contains(&format!("`{}`", setting.key())), "{name}");
        assert!(reference.contains(&format!("`--{}`", setting.flag())), "{name}");
        assert!(reference.contains(&schema.variable(setting)), "{name}");
    }
    insta::assert_snapshot!("config_example", example);
    insta::assert_snapshot!("config_reference", reference);
}

#[test]
fn options_come_in_the_order_of_the_type() {
    let schema = Schema::of::<Program>();
    let keys: Vec<_> = schema
        .settings()
        .iter()
        .map(synapse_core::config::Setting::key)
        .take(6)
        .collect();
    assert_eq!(
        keys,
        [
            "data_dir",
            "models",
            "server.listen",
            "server.metrics",
            "server.names",
            "server.limits.idle"
        ]
    );
}

#[test]
fn a_flag_that_is_taken_gives_way_to_one_made_of_the_key() {
    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Two {
        inner: Server,
        outer: Server,
    }
    impl Configuration for Two {}
    let schema = Schema::of::<Two>();
    assert_eq!(schema.get("inner.listen").unwrap().flag(), "listen");
    assert_eq!(schema.get("outer.listen").unwrap().flag(), "outer-listen");
}
