//! A range of addresses.

use std::{fmt, net::IpAddr, str::FromStr};

use synapse_core::Error;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one of them: `192.0.2.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// How many bits of it are the network's.
    prefix: u32,
}

impl Network {
    /// Whether this address is of the network. One of IPv4 that is written in IPv6 is one of IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let same = |ours: u128, other: u128, width: u32| {
            // A shift by all bits is none, where every address is meant.
            (ours ^ other).checked_shr(width - self.prefix).unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => same(ours.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(other)) => same(ours.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(80).collect();
            Error::invalid("invalid_network", format!("{shown:?} is no network: {why}"))
                .with_hint("write it as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| wrong("it does not begin with an address"))?;
        if address.to_canonical() != address {
            return Err(wrong("it is an address of IPv4 that is written in IPv6"));
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let plain = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_digit());
        let prefix = match prefix {
            None => width,
            Some(digits) => Some(digits)
                .filter(plain)
                .and_then(|digits| digits.parse().ok())
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| wrong("behind the slash is no number of its bits"))?,
        };
        let network = Self { address, prefix };
        // 10.1.2.3/8 is a slip of somebody who may have meant one address.
        match network.has_host_bits() {
            true => Err(wrong("it has bits behind those of the network")),
            false => Ok(network),
        }
    }
}

impl Network {
    fn has_host_bits(self) -> bool {
        let (bits, width) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let host = width - self.prefix;
        host > 0 && bits << (128 - host) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        for (network, address, within) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "127.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                within,
                "{address} in {network}"
            );
            assert_eq!(parsed.to_string().parse::<Network>().unwrap(), parsed);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.1.2.3/8",
            "10.0.0/8",
            "localhost",
            "::ffff:10.0.0.0/104",
            "::1/129",
            "2001:db8::1/64",
            " 10.0.0.0/8",
        ] {
            assert_eq!(
                text.parse::<Network>().unwrap_err().code(),
                "invalid_network",
                "{text:?}"
            );
        }
    }
}
