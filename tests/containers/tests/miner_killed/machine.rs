//! What a miner has on its machine: processes, containers, files.

use std::{collections::BTreeSet, fs, path::Path};

use containers::left;
use serde_json::Value;

/// The variable by which whatever a miner starts is known: it has its miner's environment.
pub(crate) const MARK: &str = "MINER_KILLED_TEST";

/// A process that a miner started, or that one did which it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// Its program and arguments.
    pub(crate) command: String,
}

/// All processes with this mark that live, but for the miner's own.
pub(crate) fn started(mark: &str, miner: Option<u32>) -> Vec<Started> {
    let wanted = format!("{MARK}={mark}");
    let processes = fs::read_dir("/proc").expect("Linux says what runs").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| Some(*pid) != miner)
        .filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
            // Empty of those that ended and were not waited for.
            let environment = read("environ")?;
            let is_marked = environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes());
            is_marked.then_some(())?;
            let words = String::from_utf8_lossy(&read("cmdline")?).replace('\0', " ");
            Some(Started { pid, command: words })
        })
        .collect()
}

/// The engine that a data directory's note names.
pub(crate) fn noted(data: &Path) -> Option<u64> {
    let notes = fs::read_dir(data).ok()?.flatten().map(|entry| entry.path());
    let mut notes = notes.filter(|path| path.to_string_lossy().ends_with(".engine.json"));
    let note: Value = serde_json::from_slice(&fs::read(notes.next()?).ok()?).ok()?;
    assert!(notes.next().is_none(), "there is one engine, so one note");
    note["pid"].as_u64()
}

/// The names of an owner's containers, each with its directory; why they do not go together otherwise.
pub(crate) fn contained(host: &str, owner: &str) -> Result<usize, String> {
    let names = left(host, owner);
    let each: BTreeSet<&String> = names.iter().collect();
    match names.len() == 2 * each.len() {
        true => Ok(each.len()),
        false => Err(format!(
            "containers and directories do not go together: {names:?}"
        )),
    }
}

/// The files below a directory, by their names.
pub(crate) fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let below = files(&entry.path());
            found.extend(below.into_iter().map(|file| format!("{name}/{file}")));
        }
        found.insert(name);
    }
    found
}
