//! What is looked at before an engine is started.

use std::{
    env, fs, io,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::spawn_blocking;

use super::{
    EngineDeath, EngineEvent, EngineKind, EngineSpec,
    note::{Found, Note},
    proc,
};

/// How every GGUF file begins.
const GGUF: &[u8; 4] = b"GGUF";

/// The port that it is to listen on, once what it needs is there and whoever had its place is gone.
pub(super) async fn prepare(
    spec: &Arc<EngineSpec>,
    note: Option<&Note>,
    tell: impl Fn(EngineEvent),
) -> Result<u16, EngineDeath> {
    if let Some(note) = note {
        match note.clear().await {
            Found::Nothing => {}
            Found::Ended(pid) => tell(EngineEvent::OrphanEnded {
                engine: spec.name.clone(),
                pid,
            }),
            Found::Kept(keeper) => {
                let what = format!("runs already, for process {keeper}");
                let death = EngineDeath::new(&spec.name, "engine_already_supervised", what);
                return Err(death
                    .hint("stop that process, or give this engine another name")
                    .not_begun());
            }
        }
    }
    let spec = spec.clone();
    let name = spec.name.clone();
    let looked = spawn_blocking(move || {
        has_program(&spec)?;
        has_model(&spec)?;
        port(&spec)
    });
    looked.await.unwrap_or_else(|_| {
        Err(EngineDeath::new(
            &name,
            "engine_not_started",
            "was not started: a look at this machine broke off",
        ))
    })
}

fn has_program(spec: &EngineSpec) -> Result<(), EngineDeath> {
    let found = if spec.program.components().count() > 1 {
        let place = spec
            .directory
            .as_deref()
            .unwrap_or(Path::new(""))
            .join(&spec.program);
        is_executable(&place)
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).any(|folder| is_executable(&folder.join(&spec.program)))
    };
    if found {
        return Ok(());
    }
    let what = format!("cannot be started: {} is no program", spec.program.display());
    Err(EngineDeath::new(&spec.name, "engine_program_missing", what)
        .hint("install it, or name its place")
        .not_begun())
}

fn is_executable(place: &Path) -> bool {
    fs::metadata(place).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn has_model(spec: &EngineSpec) -> Result<(), EngineDeath> {
    // vLLM's may be a name of the hub.
    let (EngineKind::LlamaServer, Some(model)) = (spec.kind, &spec.model) else {
        return Ok(());
    };
    let place: PathBuf = spec.directory.as_deref().unwrap_or(Path::new("")).join(model);
    let refused = |code, what: String, hint: &'static str| {
        Err(EngineDeath::new(&spec.name, code, what).hint(hint).not_begun())
    };
    match begins_with(&place) {
        Ok(begin) if begin == *GGUF => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => refused(
            "model_missing",
            format!(
                "cannot be started: its model {} cannot be opened ({error})",
                place.display()
            ),
            "put the file there, readable for this user, or name another",
        ),
        _ => refused(
            "model_unreadable",
            format!("cannot be started: {} is no GGUF file", place.display()),
            "name a model in llama.cpp's own format",
        ),
    }
}

fn begins_with(place: &Path) -> io::Result<[u8; 4]> {
    let mut begin = [0; 4];
    io::Read::read_exact(&mut fs::File::open(place)?, &mut begin)?;
    Ok(begin)
}

fn port(spec: &EngineSpec) -> Result<u16, EngineDeath> {
    let wanted = spec.port.unwrap_or(0);
    match TcpListener::bind(EngineSpec::address(wanted)).and_then(|socket| socket.local_addr()) {
        Ok(address) => Ok(address.port()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let who = proc::listener(wanted).unwrap_or_else(|| "another process".to_owned());
            let what = format!("cannot be started: port {wanted} of 127.0.0.1 is taken by {who}");
            Err(EngineDeath::new(&spec.name, "port_taken", what)
                .hint("stop that process, or give the engine another port")
                .not_begun())
        }
        Err(error) => {
            let what = format!("cannot be started: port {wanted} of 127.0.0.1 cannot be had ({error})");
            Err(EngineDeath::new(&spec.name, "port_taken", what)
                .hint("give the engine another port")
                .not_begun())
        }
    }
}
