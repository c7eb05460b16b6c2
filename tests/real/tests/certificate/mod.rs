//! A certificate that was made for one test, and rustls set up with it at both ends.

#![allow(dead_code, reason = "no test binary needs all of it")]

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::sync::Arc;

/// The two ends' settings: the client trusts this one server.
pub(crate) struct Ends {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    /// What the client trusts.
    pub(crate) certificate: CertificateDer<'static>,
}

impl Ends {
    pub(crate) fn new() -> Ends {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ends {
            server: Arc::new(server),
            client: Arc::new(client),
            certificate,
        }
    }

    /// The server's end of a connection.
    pub(crate) fn accept<S: Read + Write>(&self, stream: S) -> StreamOwned<ServerConnection, S> {
        let connection = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// The client's end of a connection.
    pub(crate) fn connect<S: Read + Write>(&self, stream: S) -> StreamOwned<ClientConnection, S> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        StreamOwned::new(connection, stream)
    }
}
