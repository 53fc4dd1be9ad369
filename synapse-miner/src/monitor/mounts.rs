//! Where a process's cgroups are.

use std::path::{Component, Path, PathBuf};

/// A cgroup's directory, and the outermost one above it that can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) own: PathBuf,
    pub(super) top: PathBuf,
}

/// Where the cgroup of `controller` is, by what `/proc/<id>/cgroup` and `/proc/<id>/mountinfo` say; `None` asks for version 2's.
pub(super) fn find(controller: Option<&str>, cgroups: &str, mounts: &str) -> Option<Place> {
    let path = path_of(controller, cgroups)?;
    let mounted = mounts.lines().filter_map(|line| mount(line, controller));
    // Where it is mounted more than once, the mount that shows the process's own cgroup with the most around it.
    let best = mounted
        .map(|(root, point)| (below(&path, &root).map(|inner| (root.clone(), inner)), point))
        .max_by_key(|(shown, _)| {
            shown
                .as_ref()
                .map(|(root, _)| usize::MAX - root.components().count())
        })?;
    Some(match best {
        (Some((_, inner)), top) => Place {
            own: top.join(inner),
            top,
        },
        // A container's own view: what it is shown is its own.
        (None, top) => Place {
            own: top.clone(),
            top,
        },
    })
}

/// `4:memory:/a/b` of version 1, `0::/a/b` of version 2.
fn path_of(controller: Option<&str>, cgroups: &str) -> Option<PathBuf> {
    cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            Some(wanted) => controllers.split(',').any(|name| name == wanted),
            None => number == "0" && controllers.is_empty(),
        };
        is_it.then(|| PathBuf::from(path))
    })
}

/// `36 31 0:29 ROOT POINT OPTIONS [TAGS] - TYPE SOURCE OPTIONS`: the root and the mount point.
fn mount(line: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
    let is_it = match controller {
        Some(wanted) => kind == "cgroup" && options.split(',').any(|name| name == wanted),
        None => kind == "cgroup2",
    };
    is_it.then(|| (unescaped(root), unescaped(point)))
}

/// What of `path` lies below `root`; `None` where it is elsewhere.
fn below(path: &Path, root: &Path) -> Option<PathBuf> {
    let inner = path.strip_prefix(root).ok()?;
    let is_plain = inner
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| inner.to_owned())
}

/// Spaces and the like are written in octal: `\040`.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        37 31 0:34 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";

    fn check(controller: Option<&str>, cgroups: &str, mounts: &str, own: &str, top: &str) {
        let found = find(controller, cgroups, mounts);
        let expected = Place {
            own: own.into(),
            top: top.into(),
        };
        assert_eq!(found, Some(expected), "{controller:?} in {cgroups}");
    }

    #[test]
    fn a_cgroup_is_found_below_its_mount() {
        let own = "4:memory:/a/b\n3:cpuset,cpu,cpuacct:/c\n0::/d";
        check(
            Some("memory"),
            own,
            MOUNTS,
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory",
        );
        check(
            Some("cpu"),
            own,
            MOUNTS,
            "/sys/fs/cgroup/cpu,cpuacct/c",
            "/sys/fs/cgroup/cpu,cpuacct",
        );
        check(
            None,
            own,
            MOUNTS,
            "/sys/fs/cgroup/unified/d",
            "/sys/fs/cgroup/unified",
        );
        assert_eq!(find(Some("pids"), own, MOUNTS), None);
        // A container that is shown its own cgroup as the whole tree, by the mount or by a namespace.
        let inside = "5 1 0:9 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        check(
            Some("memory"),
            "4:memory:/docker/abc",
            inside,
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/memory",
        );
        check(
            Some("memory"),
            "4:memory:/docker/abc/x",
            inside,
            "/sys/fs/cgroup/memory/x",
            "/sys/fs/cgroup/memory",
        );
        check(
            None,
            "0::/../..",
            MOUNTS,
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup/unified",
        );
        // The mount that shows more wins, and one that does not show the process is the last resort.
        let twice = format!(
            "9 1 0:32 /a /narrow rw - cgroup cgroup rw,memory\n8 1 0:32 /z /else\\040where rw - cgroup cgroup rw,memory\n{MOUNTS}"
        );
        check(
            Some("memory"),
            "4:memory:/a/b",
            &twice,
            "/sys/fs/cgroup/memory/a/b",
            "/sys/fs/cgroup/memory",
        );
        let other = "8 1 0:32 /z /else\\040where rw - cgroup cgroup rw,memory";
        check(
            Some("memory"),
            "4:memory:/a/b",
            other,
            "/else where",
            "/else where",
        );
    }
}
