//! What Linux says of processes. Elsewhere nothing is known.

use std::{fs, path::Path};

/// A process as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) group: u32,
    /// When it began, in ticks since the machine did: with the id, and the machine's start, it names one process for good.
    pub(super) began: u64,
}

impl Stat {
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may hold anything.
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let began = fields.nth(16)?.parse().ok()?;
        Some(Self { state, group, began })
    }

    pub(super) fn is_zombie(self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    pub(super) fn is_stopped(self) -> bool {
        self.state == 'T'
    }
}

/// The processes of a group that live. Reads all of `/proc`.
pub(super) fn group(group: u32) -> Vec<Stat> {
    pids()
        .filter_map(Stat::of)
        .filter(|stat| stat.group == group && !stat.is_zombie())
        .collect()
}

/// Which start of the machine this is.
pub(super) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Who listens on this port of this machine, as far as this user may know: `process 42 (ollama)`.
pub(super) fn listener(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let inodes: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| table.lines().filter_map(|line| listening(line, port)))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let owner = pids().find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return false;
        };
        files.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            inodes.iter().any(|inode| Path::new(inode) == target)
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{owner}/comm")).unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(|character| !character.is_control())
        .collect();
    Some(format!("process {owner} ({name})"))
}

fn listening(line: &str, port: u16) -> Option<&str> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?.rsplit_once(':')?.1;
    // 0A is a socket that listens.
    let is_it = u16::from_str_radix(local, 16).ok()? == port && fields.nth(1)? == "0A";
    if is_it { fields.nth(5) } else { None }
}

fn pids() -> impl Iterator<Item = u32> {
    let found = fs::read_dir("/proc").into_iter().flatten().flatten();
    found.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it finds none")]

    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let line = "42 (a ) b (c) S 1 41 41 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.group, stat.began), ('S', 41, 98765));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
        let own = Stat::of(std::process::id()).unwrap();
        assert!(!own.is_stopped() && group(own.group).contains(&Stat::of(std::process::id()).unwrap()));
    }

    #[test]
    fn who_listens_is_found() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let said = listener(listening.local_addr().unwrap().port()).unwrap();
        assert!(
            said.starts_with(&format!("process {} (", std::process::id())),
            "{said}"
        );
    }
}
