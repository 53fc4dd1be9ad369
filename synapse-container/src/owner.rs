//! Whose a container is: which node's, and which life of its process.

use std::{collections::HashMap, fs};

use synapse_core::Error;

/// Marks what is ours, among the containers and volumes of a machine.
pub(crate) const OWNER: &str = "synapse.owner";
const PROCESS: &str = "synapse.process";
const REPLICA: &str = "synapse.replica";

/// Who starts containers: a node, by a name that it keeps over restarts, and the process that it is now.
///
/// What a process of the same owner left behind when it was killed is found by it: see
/// [`Runtime::reconcile`](crate::Runtime::reconcile).
#[derive(Debug, Clone)]
pub struct Owner {
    name: String,
    process: String,
}

/// What became of the process that started a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is this one.
    Ours,
    /// It runs, or it is out of sight: in another process namespace of this machine.
    Elsewhere,
    /// It ended.
    Over,
}

impl Owner {
    /// This process, as the owner `name`: 1 to 48 of `a-z`, `0-9`, `-`, `_`. Two nodes on a machine need two names.
    ///
    /// # Errors
    /// `bad_owner` where the name has other characters; where `/proc` cannot be read.
    pub fn new(name: impl Into<String>) -> Result<Self, Error> {
        let name = name.into();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if name.is_empty() || name.len() > 48 || !name.chars().all(plain) {
            return Err(Error::invalid(
                "bad_owner",
                format!("{name:?} cannot be the name by which containers are known"),
            )
            .with_hint("1 to 48 of a-z, 0-9, - and _"));
        }
        let process = Process::of(std::process::id()).ok_or_else(|| {
            Error::internal(
                "no_proc",
                "cannot tell this process from others, since /proc cannot be read",
            )
            .with_hint("mount /proc")
        })?;
        Ok(Self {
            name,
            process: process.to_string(),
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn labels(&self, replica: u32) -> HashMap<String, String> {
        HashMap::from([
            (OWNER.into(), self.name.clone()),
            (PROCESS.into(), self.process.clone()),
            (REPLICA.into(), replica.to_string()),
        ])
    }

    /// What became of the process that set these labels.
    pub(crate) fn life(&self, labels: &HashMap<String, String>) -> Life {
        let Some(said) = labels.get(PROCESS) else {
            return Life::Over;
        };
        if *said == self.process {
            return Life::Ours;
        }
        let Some(process) = Process::parse(said) else {
            return Life::Over;
        };
        let Some(now) = Process::of(std::process::id()) else {
            return Life::Elsewhere;
        };
        if process.boot != now.boot {
            return Life::Over;
        }
        if process.namespace != now.namespace || Process::of(process.id).is_some_and(|found| found == process)
        {
            return Life::Elsewhere;
        }
        Life::Over
    }
}

/// A process that no other has been or will be: ids are used again, and start over with each boot.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    boot: String,
    namespace: String,
    id: u32,
    started: String,
}

impl Process {
    fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The program's name comes second, in brackets, and may hold anything; the state follows.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect();
        Some(Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()?
                .trim()
                .to_owned(),
            namespace: digits(namespace.to_str()?),
            id,
            started: fields.nth(18)?.to_owned(),
        })
    }

    fn parse(said: &str) -> Option<Self> {
        let mut parts = said.split('/');
        let mut next = || parts.next().map(str::to_owned);
        Some(Self {
            boot: next()?,
            namespace: next()?,
            id: next()?.parse().ok()?,
            started: next()?,
        })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.boot, self.namespace, self.id, self.started)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn labels(process: &Process) -> HashMap<String, String> {
        HashMap::from([(PROCESS.into(), process.to_string())])
    }

    #[test]
    fn a_process_that_ended_is_told_from_one_that_runs_with_its_id() {
        let owner = Owner::new("node-1").expect("a name");
        assert_eq!(owner.life(&owner.labels(0)), Life::Ours);

        let mut child = Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .expect("sleep starts");
        let running = Process::of(child.id()).expect("it runs");
        assert_eq!(owner.life(&labels(&running)), Life::Elsewhere);
        let earlier = Process {
            started: "1".into(),
            ..Process::of(child.id()).expect("it runs")
        };
        assert_eq!(owner.life(&labels(&earlier)), Life::Over);
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        assert_eq!(owner.life(&labels(&running)), Life::Over);
        let before_a_reboot = Process {
            boot: "another".into(),
            ..running
        };
        assert_eq!(owner.life(&labels(&before_a_reboot)), Life::Over);
        assert_eq!(owner.life(&HashMap::new()), Life::Over);
    }

    #[test]
    fn names_are_plain() {
        for bad in ["", "Node", "a b", "ä", &"x".repeat(49)] {
            assert_eq!(Owner::new(bad).expect_err("refused").code(), "bad_owner");
        }
    }
}
