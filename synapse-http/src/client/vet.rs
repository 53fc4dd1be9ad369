//! Which addresses of members are dialled.
//!
//! A member's address is whatever the member wrote. Without a look at it, a member could make this machine send requests
//! to itself, into its own network, or to the metadata service that hands out its cloud's keys. So a name is resolved
//! once, every address that it has is looked at, and one of those is dialled; there are no redirects. An address that is
//! written as a number never reaches a resolver, and is looked at beforehand.

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use synapse_core::{Error, NodeId};

/// More addresses than this are not a member's.
const MOST_ADDRESSES: usize = 64;

/// Which addresses may be a member's, beside public ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    pub(super) loopback: bool,
    pub(super) private: bool,
    pub(super) plain_http: bool,
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    /// RFC 1918, carrier-grade NAT, unique local.
    Private,
    /// Where clouds hand out what a machine may do.
    Metadata,
    LinkLocal,
    /// One kind of address within another, so that a look at the outer one sees nothing.
    Embedded,
    Multicast,
    /// Unspecified, documentation, benchmarks, reserved.
    Special,
}

/// An address that is not dialled.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Address(IpAddr, Kind),
    /// Not of loopback, and without TLS.
    Plain,
}

impl Reach {
    /// Looks at a member's address before anything is sent to it.
    pub(super) fn check(self, member: &NodeId, base: &str) -> Result<(), Error> {
        let Ok(url) = Url::parse(base) else {
            return Err(Error::invalid(
                "bad_endpoint",
                format!("the endpoint {base:?} is no address"),
            ));
        };
        let host = url.host_str().unwrap_or_default();
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let plain = url.scheme() == "http" && !self.plain_http;
        let verdict = match literal {
            Ok(address) => self.admit(address, plain),
            // A resolver decides what it stands for, and then that is looked at too.
            Err(_) if plain && host != "localhost" => Err(Refused::Plain),
            Err(_) => Ok(()),
        };
        verdict.map_err(|refused| refused.into_error(&format!("{member} at {base}")))
    }

    /// The same for what a name stands for.
    pub(super) fn resolver(self, base: &str) -> Vetted {
        Vetted {
            reach: self,
            plain: base.starts_with("http:") && !self.plain_http,
        }
    }

    fn admit(self, address: IpAddr, plain: bool) -> Result<(), Refused> {
        let kind = Kind::of(address);
        let admitted = match kind {
            Kind::Public => true,
            Kind::Loopback => self.loopback,
            Kind::Private => self.private,
            _ => false,
        };
        if !admitted {
            return Err(Refused::Address(address, kind));
        }
        if plain && kind != Kind::Loopback {
            return Err(Refused::Plain);
        }
        Ok(())
    }
}

/// A resolver that gives no address that must not be dialled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vetted {
    reach: Reach,
    plain: bool,
}

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, plain } = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            // One bad address is enough: an honest name has none.
            for address in &addresses {
                reach.admit(address.ip(), plain)?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The refusal in what an HTTP client made of it, as `whom` it was about.
pub(super) fn find(error: &(dyn StdError + 'static), whom: &str) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<Refused>() {
            return Some(refused.into_error(whom));
        }
        cause = current.source();
    }
    None
}

impl Refused {
    fn into_error(self, whom: &str) -> Error {
        match self {
            Self::Address(_, kind) => {
                let error = Error::unavailable(
                    "address_refused",
                    format!("{whom} is not dialled: its address is {kind}, and members have public ones"),
                );
                let error = match kind {
                    Kind::Loopback => {
                        error.with_hint("allow loopback addresses where all nodes run on one machine")
                    }
                    Kind::Private => {
                        error.with_hint("allow private addresses where all nodes share a private network")
                    }
                    _ => error.with_hint("ask the member to advertise an address that others reach it at"),
                };
                error.with_source(self)
            }
            Self::Plain => Error::unavailable(
                "plain_http_refused",
                format!("{whom} is not dialled: it is not on this machine, and advertises no https"),
            )
            .with_hint("let the member serve TLS, or allow plain HTTP where the network itself is private"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address, kind) => write!(f, "{address} is {kind}"),
            Self::Plain => f.write_str("plain HTTP is for loopback"),
        }
    }
}

impl StdError for Refused {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "of loopback",
            Self::Private => "private",
            Self::Metadata => "a cloud's metadata service",
            Self::LinkLocal => "link-local",
            Self::Embedded => "one within another",
            Self::Multicast => "multicast",
            Self::Special => "reserved",
        })
    }
}

/// Those that are not link-local, where the rest are.
const METADATA: [IpAddr; 5] = [
    // Alibaba, Oracle, Azure, AWS, Google.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
];

impl Kind {
    fn of(address: IpAddr) -> Self {
        match address {
            _ if METADATA.contains(&address) => Self::Metadata,
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// By IANA's registry of special-purpose addresses.
    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127, ..] => Self::Loopback,
            [169, 254, 169, 254] => Self::Metadata,
            [169, 254, ..] => Self::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Private,
            [224..=239, ..] => Self::Multicast,
            [0 | 240..=255, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Special,
            _ => Self::Public,
        }
    }

    /// Of IPv6 only 2000::/3 is public, and not all of that.
    fn of_v6(address: Ipv6Addr) -> Self {
        if address == Ipv6Addr::LOCALHOST {
            return Self::Loopback;
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Special,
            // Mapped, compatible and translated IPv4; NAT64, 6to4, Teredo.
            [0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => Self::Embedded,
            // ISATAP has an IPv4 address behind this.
            [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Self::Embedded,
            [0xfc00..=0xfdff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}
