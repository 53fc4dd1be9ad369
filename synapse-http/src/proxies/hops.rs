//! What proxies say of who was before them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ForwardingHeader;

/// The addresses of one line of a header, the last one first; `None` for what is no address.
///
/// It is read from its end, as what stands at the beginning may be anybody's: a quote that is opened there and never closed
/// must not swallow what a proxy added.
pub(super) fn from_the_end(header: ForwardingHeader, line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let quotes = header == ForwardingHeader::Forwarded;
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (before, element) = match last_comma(line, quotes) {
            Some(at) => (Some(&line[..at]), &line[at + 1..]),
            None => (None, line),
        };
        rest = before;
        let element = std::str::from_utf8(element).ok();
        Some(element.and_then(|element| match header {
            ForwardingHeader::XForwardedFor => address(element.trim()),
            ForwardingHeader::Forwarded => forwarded_for(element),
        }))
    })
}

/// The last comma that stands in no quotes.
fn last_comma(line: &[u8], quotes: bool) -> Option<usize> {
    let mut quoted = false;
    line.iter().rposition(|byte| {
        quoted ^= quotes && *byte == b'"';
        *byte == b',' && !quoted
    })
}

/// The `for` of an element such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    // No address has a semicolon; a value in quotes that does makes pairs that are none.
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            let value = value.trim();
            let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            if found.replace(address(bare.unwrap_or(value))?).is_some() {
                return None;
            }
        }
    }
    found
}

/// An address, bare or with a port; IPv6 may stand in brackets, and must where there is a port.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| good).map(Into::into);
    }
    let (address, port) = text.split_once(':')?;
    let address = address.parse::<Ipv4Addr>().ok()?;
    is_port(port).then(|| address.into())
}
