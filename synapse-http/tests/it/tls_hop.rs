//! Nodes with TLS, clients of TLS that take any certificate, and those who stand between.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};
use synapse_core::{
    Error, InferenceModule, Input, Message, NodeId, Output, Prompt, Request, Task,
    keys::{Keypair, Scheme, Signer},
};
use synapse_http::{OpenAiModule, client::Builder, tls::NodeTls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::server::{PATIENCE, Running};

pub(crate) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(Scheme::Sr25519, uri).unwrap()
}

/// A node's key and its TLS.
pub(crate) async fn node(uri: &str) -> (NodeId, NodeTls) {
    let key = key(uri);
    (key.address().clone(), NodeTls::new(key).await.unwrap())
}

/// How `member` is reached at `address` on this machine.
pub(crate) fn reach(address: SocketAddr, member: &NodeId) -> Builder {
    OpenAiModule::builder(format!("https://{address}"))
        .node_key(member.clone())
        .allow_loopback(true)
}

pub(crate) fn ask(text: &str, stream: bool) -> Input {
    let prompt = Prompt::Messages(vec![Message::user(text)]);
    let request = Request::new("echo", prompt).with_params(|params| params.stream = stream);
    Input::from_request(Task::CHAT, request)
}

pub(crate) async fn text(output: Output) -> Result<String, Error> {
    let mut text = String::new();
    let mut body = output.body;
    while let Some(chunk) = body.next().await {
        for delta in chunk?.deltas()? {
            text.push_str(&delta.text);
        }
    }
    Ok(text)
}

/// Why `member` at `address` was not asked.
pub(crate) async fn refusal(builder: Builder) -> Error {
    let module = builder.build().unwrap();
    let error = module.run_inference(ask("secret", true)).await.unwrap_err();
    assert_eq!(
        error.retry(),
        synapse_core::Retry::Elsewhere,
        "another member may answer"
    );
    error
}

/// Whether `module` answers.
pub(crate) async fn echoes(module: &OpenAiModule) {
    for stream in [true, false] {
        let output = module.run_inference(ask("one two three", stream)).await.unwrap();
        assert_eq!(text(output).await.unwrap(), "one two three");
    }
}

/// A TLS connection to `running`, whatever certificate it shows.
pub(crate) async fn dial(running: &Running) -> TlsStream<TcpStream> {
    let config = any_certificate(rustls::ALL_VERSIONS);
    let stream = running.connect().await;
    let name = ServerName::from(running.address.ip());
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap()
}

pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

pub(crate) fn any_certificate(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth()
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Somebody who listens, until it is dropped.
pub(crate) struct Between {
    pub(crate) address: SocketAddr,
    /// What went through it, both ways.
    pub(crate) seen: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Between {
    async fn listen() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            _tasks: JoinSet::new(),
        };
        (between, listener)
    }

    /// Passes every byte on to `to`, and keeps a copy.
    pub(crate) async fn recording(to: SocketAddr) -> Self {
        let (mut between, listener) = Self::listen().await;
        let seen = between.seen.clone();
        between._tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(to).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                pipes.spawn(pipe(from_client, to_server, seen.clone()));
                pipes.spawn(pipe(from_server, to_client, seen.clone()));
            }
        });
        between
    }

    /// Answers every TLS connection with this certificate, and every request with success; what was asked is `seen`.
    pub(crate) async fn impostor(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Self {
        Self::impostor_speaking(rustls::ALL_VERSIONS, chain, key).await
    }

    pub(crate) async fn impostor_speaking(
        versions: &[&'static SupportedProtocolVersion],
        chain: Vec<CertificateDer<'static>>,
        key: &KeyPair,
    ) -> Self {
        let provider = ring::default_provider();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signs = provider.key_provider.load_private_key(private).unwrap();
        // Unlike rustls's own ways to set it up, this does not ask whether the key is the certificate's.
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, signs));
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (mut between, listener) = Self::listen().await;
        let seen = between.seen.clone();
        between._tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut asked = vec![0; 64 * 1024];
                let Ok(Ok(read)) = timeout(Duration::from_secs(1), stream.read(&mut asked)).await else {
                    continue;
                };
                seen.lock().unwrap().extend_from_slice(&asked[..read]);
                let reply =
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                let _ = stream.write_all(reply).await;
            }
        });
        between
    }

    pub(crate) fn has_seen(&self, what: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.windows(what.len()).any(|window| window == what.as_bytes())
    }
}

async fn pipe(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    seen: Arc<Mutex<Vec<u8>>>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes).await
        && read > 0
    {
        seen.lock().unwrap().extend_from_slice(&bytes[..read]);
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// A self-signed certificate with these extensions, and its key.
pub(crate) fn ordinary(extensions: Vec<CustomExtension>) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.custom_extensions = extensions;
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), key)
}

/// What is left of a stream: its end was said, or it was cut.
pub(crate) async fn rest(stream: &mut TlsStream<TcpStream>) -> (Vec<u8>, io::Result<usize>) {
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("it ends in time");
    (bytes, end)
}
