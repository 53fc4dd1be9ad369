//! The system calls that a container may make.

/// The seccomp profile of every container, in Docker's format: a list of what is allowed. The rest is refused, among it
/// namespaces, mounts, tracing, BPF, `io_uring`, `userfaultfd`, keys, programs in memory (`memfd_create`), and
/// every socket but those of Unix, TCP and UDP.
pub const SECCOMP: &str = include_str!("seccomp.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_modules_broke_out_with_is_not_on_the_list() {
        let profile: Value = serde_json::from_str(SECCOMP).expect("the profile is JSON");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().expect("it has rules");
        let allowed: Vec<&str> = rules
            .iter()
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
            .flat_map(|rule| rule["names"].as_array().expect("a rule has names"))
            .filter_map(Value::as_str)
            .collect();
        for refused in [
            "add_key",
            "bpf",
            "chroot",
            "clone3",
            "execveat",
            "init_module",
            "io_uring_setup",
            "kexec_load",
            "keyctl",
            "memfd_create",
            "mount",
            "open_by_handle_at",
            "perf_event_open",
            "pidfd_getfd",
            "pivot_root",
            "process_vm_readv",
            "ptrace",
            "reboot",
            "setns",
            "unshare",
            "userfaultfd",
        ] {
            assert!(!allowed.contains(&refused), "{refused}");
        }
    }
}
