//! Names that may stand in a call: the chain keeps them for good.

use synapse_core::{
    Error, NodeId, OperationId,
    keys::{Scheme, check_address},
};

use super::Call;

/// The longest name, in bytes.
const LONGEST_NAME: usize = 128;
/// The longest id of an operation, in bytes.
const LONGEST_OPERATION: usize = 64;

/// Whether a signed call names addresses only, each as it is written by everybody. Weights may name whom they like, for
/// they are taken of members alone.
pub(super) fn check_signed(call: &Call) -> Result<(), Error> {
    named(call).try_for_each(check_canonical)?;
    check_kept(call)
}

/// Whether a call of the process that keeps the chain names what can be kept: addresses, or names of its own.
pub(crate) fn check_local<'a>(account: &'a NodeId, call: impl Into<Option<&'a Call>>) -> Result<(), Error> {
    check_name(account.as_str(), LONGEST_NAME)?;
    let Some(call) = call.into() else {
        return Ok(());
    };
    named(call).try_for_each(|name| check_name(name.as_str(), LONGEST_NAME))?;
    check_kept(call)
}

/// Whom a call names, but for those that weights are of.
fn named(call: &Call) -> impl Iterator<Item = &NodeId> {
    let (one, another) = match call {
        Call::Transfer { to, .. } => (to, None),
        Call::Register { node, .. } | Call::Serve { node, .. } | Call::Leave { node, .. } => (node, None),
        Call::SubmitWeights { validator, .. } => (validator, None),
        Call::RotateKey { node, to, .. } => (node, Some(to)),
    };
    std::iter::once(one).chain(another)
}

fn check_canonical(name: &NodeId) -> Result<(), Error> {
    let scheme = if name.as_str().starts_with("0x") {
        Scheme::Secp256k1
    } else {
        Scheme::Ed25519
    };
    check_address(scheme, name)
}

/// What else a call has the chain keep.
fn check_kept(call: &Call) -> Result<(), Error> {
    match call {
        Call::SubmitWeights {
            operation, weights, ..
        } => {
            check_name(OperationId::as_str(operation), LONGEST_OPERATION)?;
            let mut nodes = weights.as_slice().iter().map(|weight| weight.node.as_str());
            nodes.try_for_each(|node| check_name(node, LONGEST_NAME))
        }
        Call::Serve {
            capabilities: Some(digest),
            ..
        } => check_digest(digest),
        _ => Ok(()),
    }
}

fn check_digest(digest: &str) -> Result<(), Error> {
    let is_hex = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    match digest.strip_prefix("sha256:") {
        Some(digits) if digits.len() == 64 && digits.bytes().all(is_hex) => Ok(()),
        _ => {
            let shown: String = digest.chars().take(80).collect();
            Err(
                Error::invalid("bad_digest", format!("{shown:?} is no digest of capabilities"))
                    .with_hint("write it as sha256: and 64 hex digits in lower case"),
            )
        }
    }
}

/// JSON has nothing to escape in what is taken, so that names take no more room than they have bytes.
fn check_name(name: &str, longest: usize) -> Result<(), Error> {
    let odd = |letter: char| letter.is_control() || letter == '"' || letter == '\\';
    if !name.is_empty() && name.len() <= longest && !name.contains(odd) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(Error::invalid(
        "bad_name",
        format!("{shown:?} has not 1 to {longest} bytes without quotes, backslashes and control characters"),
    ))
}
