//! What keeps secrets out of places where nobody meant them to be.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// Deep enough for the key derivations, and within the smallest stack that threads have.
const DEPTH: usize = 64 * 1024;

/// Runs `work`, then overwrites the part of the stack that it used.
///
/// A value that moves leaves its bytes behind, where no destructor finds them. What `work` returns should keep its own
/// secrets on the heap.
pub(super) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    overwrite();
    done
}

#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite() {
    let mut room = [0u8; DEPTH];
    room.zeroize();
    black_box(&mut room);
}

/// Has the system write no core of this process, and lets no other process of the same user read its memory, on Linux.
///
/// A node's key is in its memory for as long as it signs, and a core dump would hold it. Whether to forbid one is for the
/// program to say, since it forbids debuggers too: no other function of this library does, so call this first in `main`.
/// It holds until the process ends or starts another program.
///
/// Elsewhere than on Linux this does nothing. There, forbid core dumps where the program is started: `ulimit -c 0` on
/// macOS and the BSDs, no `LocalDumps` for the program in the registry on Windows. Nowhere does it keep memory from being
/// swapped out: encrypt the swap, or have none.
///
/// ```
/// synapse_core::keys::forbid_core_dumps();
/// ```
pub fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "core dumps of this process could not be forbidden, and they would hold its keys");
    }
}
