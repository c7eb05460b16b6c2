//! Which addresses a value stands for: std's `ToSocketAddrs`, with the look-up of names on another
//! OS thread. Called by everything in `net` that binds or connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io, iter, option, slice, vec};

use nix::sys::socket::SockaddrStorage;

use crate::blocking::{self, Unblock};

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

    /// Resolves this value, as a future. A look-up that is under way when that is dropped goes on
    /// without it.
    ///
    /// An implementation that does not provide this one resolves in place, by
    /// [`to_socket_addrs`](Self::to_socket_addrs).
    ///
    /// # Errors
    ///
    /// As [`to_socket_addrs`](Self::to_socket_addrs).
    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        Resolved(Resolving::Known(Some(self.to_socket_addrs())))
    }
}

/// The addresses that a value stands for, once they are known. Made by
/// [`ToSocketAddrs::to_socket_addrs_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct Resolved<I>(Resolving<I>);

enum Resolving<I> {
    /// Nothing had to be looked up; `None` once that was said.
    Known(Option<io::Result<I>>),
    LooksUp(Unblock<io::Result<I>>),
}

impl<I> Unpin for Resolved<I> {}

impl<I> Future for Resolved<I> {
    type Output = io::Result<I>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<I>> {
        match &mut self.0 {
            Resolving::Known(known) => {
                Poll::Ready(known.take().expect("a future is not polled after its end"))
            }
            Resolving::LooksUp(job) => Pin::new(job).poll(context),
        }
    }
}

impl<I> fmt::Debug for Resolved<I> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolved").finish_non_exhaustive()
    }
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
    Err(last_error.unwrap_or_else(no_address))
}

/// As [`first_success`], as a future.
pub(super) async fn first_success_async<A: ToSocketAddrs, T>(
    addresses: A,
    mut attempt: impl AsyncFnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last_error = None;
    for address in addresses.to_socket_addrs_async().await? {
        match attempt(address).await {
            Ok(value) => return Ok(value),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(no_address))
}

fn no_address() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "could not resolve to any addresses",
    )
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

    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(_) => Resolved(Resolving::Known(Some(self.to_socket_addrs()))),
            Err(_) => look_up_async((host.to_owned(), port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }

    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs_async()
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

    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        match self.parse::<SocketAddr>() {
            Ok(_) => Resolved(Resolving::Known(Some(self.to_socket_addrs()))),
            Err(_) => look_up_async(self.to_owned()),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }

    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        self.as_str().to_socket_addrs_async()
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

    fn to_socket_addrs_async(&self) -> Resolved<Self::Iter> {
        (**self).to_socket_addrs_async()
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

/// As [`look_up`], as a future.
fn look_up_async<T>(target: T) -> Resolved<vec::IntoIter<SocketAddr>>
where
    T: std::net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send + 'static,
{
    let job = blocking::unblock_async(move || target.to_socket_addrs());
    Resolved(Resolving::LooksUp(job))
}
