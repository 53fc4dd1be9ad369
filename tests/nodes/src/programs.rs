//! Where the programs are.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// The programs that these tests start; `miner` without a language model, so that a C++ toolchain is not needed.
const PROGRAMS: &[&str] = &["devchain", "miner", "register", "validator"];

/// The path of a program of `examples/`, built from the sources as they are now.
///
/// One `cargo build` a test process makes sure of that; where nothing changed it takes less than a second. A script
/// that has built them says where they are in `SYNAPSE_PROGRAMS`, and nothing is built.
///
/// # Panics
/// Where they cannot be built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match env::var_os("SYNAPSE_PROGRAMS") {
        Some(built) => built.into(),
        None => build(),
    });
    let program = folder.join(name);
    assert!(program.is_file(), "there is no program {}", program.display());
    program
}

/// What a program says that answers and ends.
///
/// # Panics
/// Where it cannot be started.
pub async fn said<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    tokio::process::Command::new(program(name))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"))
}

/// Builds into the target directory that this very test was built in, so that what it shares with it is there already.
fn build() -> PathBuf {
    let this = env::current_exe().expect("a test knows where it is");
    // target/<profile>/deps/<test>
    let profile = this
        .ancestors()
        .nth(2)
        .expect("cargo puts tests two folders below the target directory");
    let target = profile
        .parent()
        .expect("a profile's folder is in the target directory");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--no-default-features",
            "--target-dir",
        ])
        .arg(target);
    for program in PROGRAMS {
        cargo.args(["--package", program]);
    }
    let built = cargo.output().expect("cargo can be started");
    assert!(
        built.status.success(),
        "the programs cannot be built:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    target.join("debug")
}
