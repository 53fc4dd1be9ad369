//! TLS between nodes, with certificates that a node's key vouches for.
//!
//! No authority knows the nodes of a subnet; its directory does. So a node makes its certificate itself, of a key that is
//! used for TLS alone, and signs that key with the node's own. Whoever dials a member knows from the directory which
//! key that is, and takes no other: a certificate of the best authority, or of another member, does not help a man in
//! the middle. The TLS key changes as often as the node likes, without the chain and without a restart.
//!
//! # What does the certificate say?
//! It is self-signed X.509 v3 and carries one extension, `2.25.818789980466764373.1` ([`EXTENSION`]), with a UTF-8
//! string of three words:
//!
//! ```text
//! <scheme> <address> <signature>
//! sr25519 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY 0x1a2b…
//! ```
//!
//! The signature is the node key's, over four lines, joined by line feeds:
//!
//! ```text
//! synapse-tls/1
//! <SHA-256 of the certificate's SubjectPublicKeyInfo in DER, as hex>
//! <not before, in seconds since 1970>
//! <not after, in seconds since 1970>
//! ```
//!
//! The extension is not critical: a critical one that they do not know would make ordinary tools refuse the
//! certificate, and [`NodeClaim`] insists on it anyway. (`2.25` is the arc that needs no registration.)
//!
//! # What does the one who dials check?
//! That there is one certificate, with that extension once; that the address in it is the member's; that it is valid now,
//! by the [wall clock](synapse_core::WallClock), and for no longer than 31 days; that the member's key signed the TLS
//! key and the times; and that the other end holds the TLS key, by TLS's own signature of the handshake. Names in the
//! certificate, and its signature of itself, say nothing that these do not. Nodes speak TLS 1.3 and nothing older, and
//! resume no sessions, since a resumed session shows no certificate.
//!
//! | code | what happened |
//! | --- | --- |
//! | `tls_wrong_key` | the certificate is another node's, or the node's key did not sign it |
//! | `tls_expired` | it is not valid yet, or no longer |
//! | `tls_not_a_node` | an ordinary certificate, or something that is none |
//! | `tls_key_not_held` | the certificate is the member's, and the other end has not its key |
//! | `tls_downgraded` | the other end answered without TLS, or with an older one |
//!
//! # What does this rest on?
//! On the directory: whoever can change what a node reads there says which key is the member's. So the way from a node to
//! its chain must be protected as well: by a chain client that pins the chain's own key, or on the loopback of the
//! machine. Over plain HTTP across a network, all of this proves nothing.

mod certificate;
mod claim;
mod current;
mod dial;
mod fault;
mod node;
mod pem;
mod server;
mod verify;

pub use self::{
    certificate::NodeCertificate,
    claim::{EXTENSION, NodeClaim},
    dial::{client_config, refusal},
    node::{NodeTls, NodeTlsBuilder},
    pem::PemFiles,
    server::ServerTls,
};
pub(crate) use self::{fault::find, verify::expecting};

/// The one protocol that is spoken over TLS here.
const HTTP_1_1: &[u8] = b"http/1.1";
