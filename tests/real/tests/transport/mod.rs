//! ureq's transport over greenlit's `TcpStream`, and its resolver over greenlit's lookups: what a
//! program adds so that ureq parks green threads instead of blocking the OS thread.

use greenlit::io::{self, ErrorKind, Read, Write};
use greenlit::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Weak};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, LazyBuffers};
use ureq::unversioned::transport::{NextTimeout, RustlsConnector, ShutdownHandle, Transport};
use ureq::{Agent, Error};

/// An agent that parks.
pub(crate) fn agent(config: Config) -> Agent {
    let connector = ().chain(GreenConnector).chain(RustlsConnector::default());
    Agent::with_parts(config, connector, GreenResolver)
}

/// Looks names up on another OS thread, while other green threads run.
#[derive(Debug)]
struct GreenResolver;

impl Resolver for GreenResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let mut addresses = self.empty();
        // ureq has room for 16.
        for address in (host, port).to_socket_addrs()?.take(16) {
            addresses.push(address);
        }
        match addresses.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(addresses),
        }
    }
}

#[derive(Debug)]
struct GreenConnector;

impl<In: Transport> Connector<In> for GreenConnector {
    type Out = Either<In, GreenTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let timeout = details.timeout;
        let mut failure = Error::HostNotFound;
        for address in &details.addrs {
            let stream = match timeout.not_zero() {
                Some(length) => TcpStream::connect_timeout(address, *length),
                None => TcpStream::connect(address),
            };
            match stream {
                Ok(stream) => return open(stream, details).map(Either::B).map(Some),
                Err(error) => failure = mapped(error, timeout),
            }
        }
        Err(failure)
    }
}

fn open(stream: TcpStream, details: &ConnectionDetails) -> Result<GreenTransport, Error> {
    let config = details.config;
    stream.set_nodelay(config.no_delay())?;
    let stream = Arc::new(Stream(stream));
    let handle = Arc::downgrade(&stream) as Weak<dyn ShutdownHandle>;
    (details.register_shutdown)(handle)?;
    Ok(GreenTransport {
        stream,
        buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
    })
}

/// A stream that an agent's `shutdown` reaches.
#[derive(Debug)]
struct Stream(TcpStream);

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        // One that has ended already cannot be shut down.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

#[derive(Debug)]
struct GreenTransport {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

impl Transport for GreenTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let mut stream = &self.stream.0;
        stream.set_write_timeout(length(timeout))?;
        let output = &self.buffers.output()[..amount];
        stream.write_all(output).map_err(|e| mapped(e, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let mut stream = &self.stream.0;
        stream.set_read_timeout(length(timeout))?;
        let input = self.buffers.input_append_buf();
        let count = stream.read(input).map_err(|e| mapped(e, timeout))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// ureq asks this with its pool's lock held, so that it must not park: nor does it, in this mode.
    fn is_open(&mut self) -> bool {
        let mut stream = &self.stream.0;
        let mut probe = || {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        };
        // Neither its end nor anything else is due while it lies in the pool.
        matches!(probe(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}

/// What is left of a timeout, for a call that takes no zero.
fn length(timeout: NextTimeout) -> Option<std::time::Duration> {
    timeout.not_zero().map(|length: Duration| *length)
}

/// ureq's error for one of a stream's.
fn mapped(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
