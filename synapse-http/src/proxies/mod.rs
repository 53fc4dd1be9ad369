//! Where a request came from, behind proxies.

mod hops;
mod network;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, header};

pub use self::network::Network;
use crate::serve::household;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word an operator takes for where a request came from, and the header in which they give it.
///
/// Each proxy adds the address that it heard from at the header's end, and whoever is before it can have written the rest. So
/// the list is read from its end, past the proxies that are trusted: the first address that is none of them is the client's.
/// Who is no such proxy can write what he wants, and is the client himself. What cannot be read ends the list: then the last
/// proxy before it is as far as anybody knows.
///
/// One header is read, and not both: a proxy passes on the one that it does not write, forged or not.
///
/// ```
/// use http::HeaderMap;
/// use synapse_http::proxies::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse()?]);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.1.1.1".parse()?);
/// assert_eq!(proxies.client("10.2.2.2".parse()?, &headers).to_string(), "203.0.113.7");
/// assert_eq!(proxies.client("198.51.100.1".parse()?, &headers).to_string(), "198.51.100.1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Arc<[Network]>,
    header: ForwardingHeader,
}

/// The header in which proxies say from where they heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: addresses between commas. What nginx, HAProxy, Caddy and the clouds write.
    #[default]
    XForwardedFor,
    /// `Forwarded`, of RFC 7239.
    Forwarded,
}

impl TrustedProxies {
    /// Nobody is trusted: who connects is the client.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The proxies of these networks, which write `X-Forwarded-For`.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self {
            networks: networks.into_iter().collect(),
            header: ForwardingHeader::default(),
        }
    }

    /// The same proxies, which write another header.
    #[must_use]
    pub fn header(mut self, header: ForwardingHeader) -> Self {
        self.header = header;
        self
    }

    /// Where a request of this peer came from.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut last = peer.to_canonical();
        let mut lines = match self.header {
            ForwardingHeader::XForwardedFor => headers.get_all(X_FORWARDED_FOR),
            ForwardingHeader::Forwarded => headers.get_all(header::FORWARDED),
        }
        .iter()
        .rev();
        let mut hops = lines
            .by_ref()
            .flat_map(|line| hops::from_the_end(self.header, line.as_bytes()));
        while self.trusts(last) {
            match hops.next() {
                Some(Some(hop)) => last = hop.to_canonical(),
                Some(None) | None => break,
            }
        }
        last
    }

    /// The same, with a /64 of IPv6 for one client: so much has whoever has one address.
    pub(crate) fn household(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        household(self.client(peer, headers))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}
