//! What Docker is told, so that a container may do no more than it must.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountType, MountVolumeOptions, ResourcesUlimits, VolumeCreateRequest,
};
use synapse_core::Error;

use crate::{
    ContainerSpec, Gpus, SECCOMP, Sandbox,
    mounts::checked,
    socket::{DIRECTORY, SOCKET},
};

/// Who a container runs as: a user who owns nothing on the machine.
pub(crate) const UID: u32 = 65534;
/// How much of its log is kept: twice this, in Docker's own files.
const LOG: &str = "1m";
/// The directory of the socket: room for one, and for little else.
const EXCHANGE: u64 = 64 << 10;
/// `/dev/shm`, in bytes. Like `/tmp`, it counts as memory.
const SHARED: i64 = 16 << 20;

/// The volume that holds the socket: a small file system of its own, in memory, so that what a module puts there neither
/// fills the machine's disk nor outlives it.
pub(crate) fn volume(name: &str, labels: HashMap<String, String>) -> VolumeCreateRequest {
    let options = format!("size={EXCHANGE},nr_inodes=32,mode=0700,uid={UID},gid={UID},nosuid,nodev,noexec");
    VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(HashMap::from([
            ("type".to_owned(), "tmpfs".to_owned()),
            ("device".to_owned(), "tmpfs".to_owned()),
            ("o".to_owned(), options),
        ])),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    }
}

/// The container, with the socket's directory in `volume`.
pub(crate) fn container(
    spec: &ContainerSpec,
    docker_socket: Option<&str>,
    volume: &str,
    labels: HashMap<String, String>,
) -> Result<ContainerCreateBody, Error> {
    let mut env: Vec<String> = spec
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    env.push(format!("SYNAPSE_SOCKET={SOCKET}"));
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: spec.command.clone(),
        env: Some(env),
        user: Some(format!("{UID}:{UID}")),
        labels: Some(labels),
        network_disabled: Some(true),
        host_config: Some(host(spec, docker_socket, volume)?),
        ..ContainerCreateBody::default()
    })
}

fn host(spec: &ContainerSpec, docker_socket: Option<&str>, volume: &str) -> Result<HostConfig, Error> {
    let limits = spec.limits;
    if !(limits.cpus.is_finite() && (0.01..=1024.0).contains(&limits.cpus)) {
        return Err(Error::invalid(
            "bad_limit",
            format!("a container cannot have {} cores", limits.cpus),
        )
        .with_hint("0.01 to 1024, and no more than the machine has"));
    }
    let memory = i64::try_from(limits.memory).map_err(|_| {
        Error::invalid(
            "bad_limit",
            format!("a container cannot have {} bytes of memory", limits.memory),
        )
    })?;
    let mut mounts = vec![Mount {
        target: Some(DIRECTORY.to_owned()),
        source: Some(volume.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            // What the image has there would be copied, with its owner.
            no_copy: Some(true),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }];
    for (source, target) in &spec.mounts {
        let (source, target) = checked(source, target, docker_socket)?;
        mounts.push(Mount {
            target: Some(target),
            source: Some(source),
            typ: Some(MountType::BIND),
            read_only: Some(true),
            // Whatever is mounted below would be writable.
            bind_options: Some(MountBindOptions {
                non_recursive: Some(true),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        });
    }
    // With an owner: the mode becomes that of the image's own /tmp, where it has one.
    let scratch = format!(
        "size={},nr_inodes=65536,mode=1777,uid={UID},gid={UID},nosuid,nodev,noexec",
        limits.scratch
    );
    let files = i64::from(limits.open_files);
    Ok(HostConfig {
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec![
            "no-new-privileges:true".to_owned(),
            format!("seccomp={SECCOMP}"),
        ]),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        runtime: match spec.sandbox {
            Sandbox::Hardened => None,
            Sandbox::GVisor => Some("runsc".to_owned()),
        },
        memory: Some(memory),
        // As much as the memory: no swap.
        memory_swap: Some(memory),
        nano_cpus: Some(nanos(limits.cpus)),
        pids_limit: Some(i64::from(limits.processes)),
        ulimits: Some(vec![
            ulimit("nofile", files),
            ulimit("core", 0),
            ulimit("memlock", 64 << 10),
        ]),
        shm_size: Some(SHARED),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), scratch)])),
        mounts: Some(mounts),
        device_requests: spec.gpus.as_ref().map(|gpus| vec![request(gpus)]),
        // It passes signals on and reaps what was orphaned: without it a stop takes as long as its patience.
        init: Some(true),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG.to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
                // Who floods it loses lines, and holds nobody up.
                ("mode".to_owned(), "non-blocking".to_owned()),
                ("max-buffer-size".to_owned(), LOG.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    })
}

#[expect(clippy::cast_possible_truncation, reason = "at most 1024 cores")]
fn nanos(cores: f64) -> i64 {
    (cores * 1e9) as i64
}

fn ulimit(name: &str, most: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    }
}

fn request(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::These(ids) => (None, Some(ids.clone())),
    };
    DeviceRequest {
        count,
        device_ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}
