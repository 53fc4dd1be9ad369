//! Processors and memory.

use std::path::PathBuf;

use super::Resources;

#[cfg(target_os = "linux")]
pub(super) use linux::Host;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Host;

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, path::Path, time::Instant};

    use super::{PathBuf, Resources};
    use crate::monitor::cgroup::{self, Limits};

    /// The machine by its `/proc`, and what of it this process may use.
    pub(crate) struct Host {
        root: PathBuf,
        process: String,
        before: Option<Times>,
    }

    /// Work done so far.
    struct Times {
        at: Instant,
        /// Of the processors that may be used, in ticks: busy, and all of it.
        busy: u64,
        all: u64,
        /// Of the cgroup whose processors are limited, in seconds.
        within: Option<f64>,
    }

    impl Host {
        pub(crate) fn new(root: PathBuf, process: Option<u32>) -> Self {
            Self {
                root,
                process: process.map_or_else(|| "self".to_owned(), |id| id.to_string()),
                before: None,
            }
        }

        pub(crate) fn look(&mut self, now: &mut Resources) {
            let proc = self.root.join("proc");
            let own = proc.join(&self.process);
            let limits = cgroup::limits(&self.root, &own);
            memory(&proc, &limits, now);
            self.processors(&proc, &own, &limits, now);
        }

        fn processors(&mut self, proc: &Path, own: &Path, limits: &Limits, now: &mut Resources) {
            let allowed = allowed(own);
            let cores = match &allowed {
                Some(allowed) => Some(allowed.len()),
                None => std::thread::available_parallelism().ok().map(Into::into),
            };
            #[expect(clippy::cast_precision_loss, reason = "a number of processors")]
            let cores = cores.map(|cores| cores as f64);
            now.cpu_cores = match (cores, limits.cpu_cores) {
                (Some(cores), Some(limit)) => Some(cores.min(limit)),
                (cores, limit) => cores.or(limit),
            };
            let Some((busy, all)) = ticks(proc, allowed.as_deref()) else {
                return;
            };
            let times = Times {
                at: Instant::now(),
                busy,
                all,
                within: limits.cpu_seconds,
            };
            now.cpu_load = self
                .before
                .as_ref()
                .and_then(|before| load(before, &times, limits));
            self.before = Some(times);
        }
    }

    /// The busier of the machine's processors and of the share that the cgroup has of them.
    #[expect(clippy::cast_precision_loss, reason = "ticks of one interval")]
    fn load(before: &Times, now: &Times, limits: &Limits) -> Option<f64> {
        let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let machine = now.busy.saturating_sub(before.busy) as f64 / all as f64;
        let seconds = (now.at - before.at).as_secs_f64();
        let share = match (before.within, now.within, limits.cpu_cores) {
            (Some(before), Some(now), Some(cores)) if cores > 0.0 && seconds > 0.0 => {
                (now - before) / (seconds * cores)
            }
            _ => 0.0,
        };
        Some(machine.max(share).clamp(0.0, 1.0))
    }

    fn memory(proc: &Path, limits: &Limits, now: &mut Resources) {
        let text = fs::read_to_string(proc.join("meminfo")).unwrap_or_default();
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            kib.checked_mul(1024)
        };
        let tighter = |machine: Option<u64>, limit: Option<u64>| match (machine, limit) {
            (Some(machine), Some(limit)) => Some(machine.min(limit)),
            (machine, limit) => machine.or(limit),
        };
        now.memory_total = tighter(field("MemTotal"), limits.memory);
        now.memory_available = tighter(field("MemAvailable"), limits.memory_left);
    }

    /// The processors that the process may run on.
    fn allowed(own: &Path) -> Option<Vec<u32>> {
        let status = fs::read_to_string(own.join("status")).ok()?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let mut allowed = Vec::new();
        for range in list.trim().split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // More than Linux has.
            allowed.extend((first..=last).take(8192));
        }
        Some(allowed)
    }

    /// How much those did, and how much they could have done, in ticks since the machine started.
    fn ticks(proc: &Path, allowed: Option<&[u32]>) -> Option<(u64, u64)> {
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        let mut sum = None;
        for line in stat.lines().filter_map(|line| line.strip_prefix("cpu")) {
            let mut fields = line.split_whitespace();
            // The line of all of them together has no number.
            let Some(number) = fields.next().filter(|_| !line.starts_with(' ')) else {
                continue;
            };
            let number: u32 = number.parse().ok()?;
            if allowed.is_some_and(|allowed| !allowed.contains(&number)) {
                continue;
            }
            // user nice system idle iowait irq softirq steal; what guests took is in the first two.
            let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
            let all: u64 = ticks.iter().sum();
            let idle: u64 = ticks.iter().skip(3).take(2).sum();
            let (busy_before, all_before) = sum.unwrap_or((0, 0));
            sum = Some((busy_before + all.saturating_sub(idle), all_before + all));
        }
        sum
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use sysinfo::System;

    use super::{PathBuf, Resources};

    /// The machine as its system tells.
    pub(crate) struct Host {
        system: System,
        looked: bool,
    }

    impl Host {
        pub(crate) fn new(_: PathBuf, _: Option<u32>) -> Self {
            Self {
                system: System::new(),
                looked: false,
            }
        }

        pub(crate) fn look(&mut self, now: &mut Resources) {
            self.system.refresh_memory();
            self.system.refresh_cpu_usage();
            now.memory_total = Some(self.system.total_memory());
            now.memory_available = Some(self.system.available_memory());
            now.cpu_cores = Some(self.system.cpus().len() as f64);
            // It is taken between two looks.
            now.cpu_load = self
                .looked
                .then(|| f64::from(self.system.global_cpu_usage()) / 100.0);
            self.looked = true;
        }
    }
}
