//! Headers that a signature stands in: there once, or refused.

use http::{HeaderMap, HeaderName};
use synapse_core::{
    Error, NodeId,
    keys::{Scheme, Signature, check_address},
};

use super::refusal::malformed;

/// The value of a header that may be there once.
pub(super) fn optional<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(malformed(format!("the header {name} is there twice")));
    }
    match value.to_str() {
        Ok("") => Err(malformed(format!("the header {name} is empty"))),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(malformed(format!("the header {name} is not plain text"))),
    }
}

/// The value of a header that must be there once.
pub(super) fn required<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Error> {
    optional(headers, name)?.ok_or_else(|| malformed(format!("the header {name} is missing")))
}

/// A number in decimal digits, written in the one way there is.
pub(super) fn decimal(text: &str, name: &HeaderName) -> Result<u64, Error> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or_else(|| {
        malformed(format!(
            "the header {name} is no decimal number of at most 64 bits"
        ))
    })
}

/// The address of a key of `scheme`.
pub(super) fn address(text: &str, scheme: Scheme, name: &HeaderName) -> Result<NodeId, Error> {
    let node = NodeId::from(text);
    check_address(scheme, &node)
        .map_err(|error| malformed(format!("the header {name} is no {scheme} address")).with_source(error))?;
    Ok(node)
}

/// A signature as long as those of `scheme` are.
pub(super) fn signature(text: &str, scheme: Scheme, name: &HeaderName) -> Result<Signature, Error> {
    Signature::from_hex(text)
        .ok()
        .filter(|signature| signature.as_bytes().len() == scheme.signature_len())
        .ok_or_else(|| {
            malformed(format!(
                "the header {name} is not 0x and the {} hex digits of an {scheme} signature",
                2 * scheme.signature_len()
            ))
        })
}
