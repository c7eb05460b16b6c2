//! Which addresses a value stands for: std's `ToSocketAddrs`, with the look-up of names on another
//! OS thread. Called by everything in `net` that binds or connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{io, iter, option, slice, vec};

use nix::sys::socket::SockaddrStorage;

use crate::blocking;

/// Converts or resolves a value to socket addresses, as [`std::net::ToSocketAddrs`] does.
///
/// The trait is greenlit's own because std's gives no way to move a look-up to another OS thread.
/// It is implemented for the same types: a [`SocketAddr`] and its two variants, a pair of an IP
/// address or a host name and a port, a string `host:port`, a slice of addresses, and references to
/// them.
///
/// Addresses written as numbers are converted in place. A name is looked up by the system's
/// resolver on another OS thread, while the other green threads run.
///
/// # Examples
///
/// ```
/// use greenlit::net::{SocketAddr, ToSocketAddrs};
///
/// let mut addresses = "127.0.0.1:443".to_socket_addrs()?;
/// assert_eq!(addresses.next(), Some(SocketAddr::from(([127, 0, 0, 1], 443))));
/// assert_eq!(addresses.next(), None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they are to be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// Resolves this value.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a string that is no `host:port`; the resolver's error for a name it does
    /// not know.
    ///
    /// # Cancellation
    ///
    /// The green thread unwinds at once; a look-up goes on without it.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Calls `attempt` on each address until one succeeds.
///
/// # Errors
///
/// The last attempt's error, or `InvalidInput` if there was no address at all.
pub(super) fn first_success<A: ToSocketAddrs, T>(
    addresses: A,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last_error = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(value) => return Ok(value),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}

impl ToSocketAddrs for SocketAddr {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(*self).into_iter())
    }
}

impl ToSocketAddrs for SocketAddrV4 {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::V4(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for SocketAddrV6 {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::V6(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (IpAddr, u16) {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv4Addr, u16) {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (Ipv6Addr, u16) {
    type Iter = option::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        SocketAddr::from(*self).to_socket_addrs()
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.parse::<SocketAddr>() {
            Ok(address) => Ok(vec![address].into_iter()),
            Err(_) => look_up(self.to_owned()),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// The address that the kernel gave, as std shows it.
///
/// # Errors
///
/// `InvalidInput`, as std's, where it is no IP address.
pub(super) fn ip_address(address: Option<SockaddrStorage>) -> io::Result<SocketAddr> {
    let address = address.as_ref();
    if let Some(v4) = address.and_then(SockaddrStorage::as_sockaddr_in) {
        return Ok(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    if let Some(v6) = address.and_then(SockaddrStorage::as_sockaddr_in6) {
        return Ok(SocketAddr::V6(SocketAddrV6::from(*v6)));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the peer has no IP address",
    ))
}

/// Has std resolve `target` on another OS thread, so that rules and messages are std's own.
fn look_up<T>(target: T) -> io::Result<vec::IntoIter<SocketAddr>>
where
    T: std::net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
{
    blocking::offload_io("name lookup", move || target.to_socket_addrs())
}
