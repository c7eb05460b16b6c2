//! Every stable item of std's network modules has its place here: a `use` line that names std's
//! compiles with greenlit's name in it, and each method of a type of ours has the signature that
//! std's has.

#![expect(
    clippy::type_complexity,
    reason = "signatures are compared as they are"
)]

/// `std::net` and the modules of `std::os`, item by item.
#[expect(unused_imports, reason = "that each name is there is the test")]
mod items {
    mod net {
        use greenlit::net::{
            AddrParseError, Incoming, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr,
            SocketAddrV4, SocketAddrV6, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
        };
    }

    mod os {
        use greenlit::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
        use greenlit::os::raw::{
            c_char, c_double, c_float, c_int, c_long, c_longlong, c_schar, c_short, c_uchar,
            c_uint, c_ulong, c_ulonglong, c_ushort, c_void,
        };
    }

    mod os_unix {
        use greenlit::os::unix::ffi::{OsStrExt, OsStringExt};
        use greenlit::os::unix::fs::{
            DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt,
            PermissionsExt, chown, chroot, fchown, lchown, symlink,
        };
        use greenlit::os::unix::io::{
            AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd,
        };
        use greenlit::os::unix::net::{
            Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream,
        };
        use greenlit::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
        use greenlit::os::unix::thread::{JoinHandleExt, RawPthread};
    }

    mod os_unix_prelude {
        use greenlit::os::unix::prelude::{
            AsFd, AsRawFd, BorrowedFd, CommandExt, DirEntryExt, ExitStatusExt, FileExt,
            FileTypeExt, FromRawFd, IntoRawFd, JoinHandleExt, MetadataExt, OpenOptionsExt,
            OsStrExt, OsStringExt, OwnedFd, PermissionsExt, RawFd,
        };
    }

    mod os_linux {
        use greenlit::os::linux::fs::MetadataExt;
        use greenlit::os::linux::net::{SocketAddrExt, TcpStreamExt};
    }
}

/// What greenlit has is greenlit's, not what a glob brings from std.
#[test]
fn globs_are_shadowed() {
    fn assert_home<T>(home: &str) {
        let name = std::any::type_name::<T>();
        assert!(name.starts_with(home), "{name} is not of {home}");
    }
    assert_home::<greenlit::net::TcpListener>("greenlit::");
    assert_home::<greenlit::net::TcpStream>("greenlit::");
    assert_home::<greenlit::net::Incoming<'_>>("greenlit::");
    assert_home::<greenlit::net::UdpSocket>("greenlit::");
    assert_home::<greenlit::os::unix::net::UnixDatagram>("greenlit::");
    assert_home::<greenlit::os::unix::net::UnixListener>("greenlit::");
    assert_home::<greenlit::os::unix::net::UnixStream>("greenlit::");
    assert_home::<greenlit::os::unix::net::Incoming<'_>>("greenlit::");
    assert_home::<greenlit::os::unix::net::SocketAddr>("std::");
    assert_home::<greenlit::net::SocketAddr>("core::");
}

/// The prelude's traits are those of greenlit's types.
#[test]
fn the_prelude_extends_greenlit() {
    use greenlit::os::unix::prelude::*;

    let mut command = greenlit::process::Command::new("sh");
    let output = command
        .arg0("named")
        .args(["-c", "echo $0"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"named\n");
    assert_eq!(output.status.into_raw(), 0);
}

/// Checks that each method has the signature that is given for it, of std's types and of
/// greenlit's.
macro_rules! signatures {
    ($($method:expr => $signature:ty;)*) => {
        signatures!(@of of_std, std, $($method => $signature;)*);
        signatures!(@of of_greenlit, greenlit, $($method => $signature;)*);
    };
    (@of $module:ident, $krate:ident, $($method:expr => $signature:ty;)*) => {
        mod $module {
            use std::io::{self, Read, Write};
            use std::time::Duration;

            use $krate::net::{
                Incoming, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
            };
            use $krate::os::fd::{
                AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd,
            };
            use $krate::os::linux::net::TcpStreamExt;
            use $krate::os::unix::net::{
                Incoming as UnixIncoming, SocketAddr as UnixAddr, UnixDatagram, UnixListener,
                UnixStream,
            };

            $(const _: $signature = $method;)*
        }
    };
}

signatures! {
    TcpListener::bind::<&'static str> => fn(&'static str) -> io::Result<TcpListener>;
    TcpListener::local_addr => fn(&TcpListener) -> io::Result<SocketAddr>;
    TcpListener::accept => fn(&TcpListener) -> io::Result<(TcpStream, SocketAddr)>;
    TcpListener::incoming => fn(&TcpListener) -> Incoming<'_>;
    Incoming::next => fn(&mut Incoming<'static>) -> Option<io::Result<TcpStream>>;
    TcpListener::set_ttl => fn(&TcpListener, u32) -> io::Result<()>;
    TcpListener::ttl => fn(&TcpListener) -> io::Result<u32>;
    TcpListener::take_error => fn(&TcpListener) -> io::Result<Option<io::Error>>;
    TcpListener::set_nonblocking => fn(&TcpListener, bool) -> io::Result<()>;
    TcpListener::try_clone => fn(&TcpListener) -> io::Result<TcpListener>;
    TcpListener::as_fd => fn(&TcpListener) -> BorrowedFd<'_>;
    TcpListener::as_raw_fd => fn(&TcpListener) -> RawFd;
    TcpListener::into_raw_fd => fn(TcpListener) -> RawFd;
    TcpListener::from_raw_fd => unsafe fn(RawFd) -> TcpListener;
    TcpListener::from => fn(OwnedFd) -> TcpListener;
    OwnedFd::from => fn(TcpListener) -> OwnedFd;

    TcpStream::connect::<&'static str> => fn(&'static str) -> io::Result<TcpStream>;
    TcpStream::connect_timeout => fn(&SocketAddr, Duration) -> io::Result<TcpStream>;
    TcpStream::peer_addr => fn(&TcpStream) -> io::Result<SocketAddr>;
    TcpStream::local_addr => fn(&TcpStream) -> io::Result<SocketAddr>;
    TcpStream::shutdown => fn(&TcpStream, Shutdown) -> io::Result<()>;
    TcpStream::peek => fn(&TcpStream, &mut [u8]) -> io::Result<usize>;
    TcpStream::set_nodelay => fn(&TcpStream, bool) -> io::Result<()>;
    TcpStream::nodelay => fn(&TcpStream) -> io::Result<bool>;
    TcpStream::set_ttl => fn(&TcpStream, u32) -> io::Result<()>;
    TcpStream::ttl => fn(&TcpStream) -> io::Result<u32>;
    TcpStream::set_quickack => fn(&TcpStream, bool) -> io::Result<()>;
    TcpStream::quickack => fn(&TcpStream) -> io::Result<bool>;
    TcpStream::take_error => fn(&TcpStream) -> io::Result<Option<io::Error>>;
    TcpStream::set_nonblocking => fn(&TcpStream, bool) -> io::Result<()>;
    TcpStream::try_clone => fn(&TcpStream) -> io::Result<TcpStream>;
    TcpStream::as_fd => fn(&TcpStream) -> BorrowedFd<'_>;
    TcpStream::as_raw_fd => fn(&TcpStream) -> RawFd;
    TcpStream::into_raw_fd => fn(TcpStream) -> RawFd;
    TcpStream::from_raw_fd => unsafe fn(RawFd) -> TcpStream;
    TcpStream::from => fn(OwnedFd) -> TcpStream;
    OwnedFd::from => fn(TcpStream) -> OwnedFd;
    TcpStream::set_read_timeout => fn(&TcpStream, Option<Duration>) -> io::Result<()>;
    TcpStream::set_write_timeout => fn(&TcpStream, Option<Duration>) -> io::Result<()>;
    TcpStream::read_timeout => fn(&TcpStream) -> io::Result<Option<Duration>>;
    TcpStream::write_timeout => fn(&TcpStream) -> io::Result<Option<Duration>>;
    <TcpStream as Read>::read => fn(&mut TcpStream, &mut [u8]) -> io::Result<usize>;
    <TcpStream as Write>::write => fn(&mut TcpStream, &[u8]) -> io::Result<usize>;
    <&TcpStream as Read>::read => fn(&mut &'static TcpStream, &mut [u8]) -> io::Result<usize>;
    <&TcpStream as Write>::write => fn(&mut &'static TcpStream, &[u8]) -> io::Result<usize>;

    UdpSocket::bind::<&'static str> => fn(&'static str) -> io::Result<UdpSocket>;
    UdpSocket::connect::<&'static str> => fn(&UdpSocket, &'static str) -> io::Result<()>;
    UdpSocket::recv_from => fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    UdpSocket::peek_from => fn(&UdpSocket, &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    UdpSocket::recv => fn(&UdpSocket, &mut [u8]) -> io::Result<usize>;
    UdpSocket::peek => fn(&UdpSocket, &mut [u8]) -> io::Result<usize>;
    UdpSocket::send => fn(&UdpSocket, &[u8]) -> io::Result<usize>;
    UdpSocket::send_to::<&'static str> => fn(&UdpSocket, &[u8], &'static str) -> io::Result<usize>;
    UdpSocket::peer_addr => fn(&UdpSocket) -> io::Result<SocketAddr>;
    UdpSocket::local_addr => fn(&UdpSocket) -> io::Result<SocketAddr>;
    UdpSocket::set_broadcast => fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::broadcast => fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_multicast_loop_v4 => fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::multicast_loop_v4 => fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_multicast_ttl_v4 => fn(&UdpSocket, u32) -> io::Result<()>;
    UdpSocket::multicast_ttl_v4 => fn(&UdpSocket) -> io::Result<u32>;
    UdpSocket::set_multicast_loop_v6 => fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::multicast_loop_v6 => fn(&UdpSocket) -> io::Result<bool>;
    UdpSocket::set_ttl => fn(&UdpSocket, u32) -> io::Result<()>;
    UdpSocket::ttl => fn(&UdpSocket) -> io::Result<u32>;
    UdpSocket::join_multicast_v4 => fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>;
    UdpSocket::join_multicast_v6 => fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>;
    UdpSocket::leave_multicast_v4 => fn(&UdpSocket, &Ipv4Addr, &Ipv4Addr) -> io::Result<()>;
    UdpSocket::leave_multicast_v6 => fn(&UdpSocket, &Ipv6Addr, u32) -> io::Result<()>;
    UdpSocket::take_error => fn(&UdpSocket) -> io::Result<Option<io::Error>>;
    UdpSocket::set_nonblocking => fn(&UdpSocket, bool) -> io::Result<()>;
    UdpSocket::try_clone => fn(&UdpSocket) -> io::Result<UdpSocket>;
    UdpSocket::as_fd => fn(&UdpSocket) -> BorrowedFd<'_>;
    UdpSocket::as_raw_fd => fn(&UdpSocket) -> RawFd;
    UdpSocket::into_raw_fd => fn(UdpSocket) -> RawFd;
    UdpSocket::from_raw_fd => unsafe fn(RawFd) -> UdpSocket;
    UdpSocket::from => fn(OwnedFd) -> UdpSocket;
    OwnedFd::from => fn(UdpSocket) -> OwnedFd;
    UdpSocket::set_read_timeout => fn(&UdpSocket, Option<Duration>) -> io::Result<()>;
    UdpSocket::set_write_timeout => fn(&UdpSocket, Option<Duration>) -> io::Result<()>;
    UdpSocket::read_timeout => fn(&UdpSocket) -> io::Result<Option<Duration>>;
    UdpSocket::write_timeout => fn(&UdpSocket) -> io::Result<Option<Duration>>;

    UnixListener::bind::<&'static str> => fn(&'static str) -> io::Result<UnixListener>;
    UnixListener::bind_addr => fn(&UnixAddr) -> io::Result<UnixListener>;
    UnixListener::accept => fn(&UnixListener) -> io::Result<(UnixStream, UnixAddr)>;
    UnixListener::local_addr => fn(&UnixListener) -> io::Result<UnixAddr>;
    UnixListener::incoming => fn(&UnixListener) -> UnixIncoming<'_>;
    <&UnixListener>::into_iter => fn(&'static UnixListener) -> UnixIncoming<'static>;
    UnixIncoming::next => fn(&mut UnixIncoming<'static>) -> Option<io::Result<UnixStream>>;
    UnixIncoming::size_hint => fn(&UnixIncoming<'static>) -> (usize, Option<usize>);
    UnixListener::take_error => fn(&UnixListener) -> io::Result<Option<io::Error>>;
    UnixListener::set_nonblocking => fn(&UnixListener, bool) -> io::Result<()>;
    UnixListener::try_clone => fn(&UnixListener) -> io::Result<UnixListener>;
    UnixListener::as_fd => fn(&UnixListener) -> BorrowedFd<'_>;
    UnixListener::as_raw_fd => fn(&UnixListener) -> RawFd;
    UnixListener::into_raw_fd => fn(UnixListener) -> RawFd;
    UnixListener::from_raw_fd => unsafe fn(RawFd) -> UnixListener;
    UnixListener::from => fn(OwnedFd) -> UnixListener;
    OwnedFd::from => fn(UnixListener) -> OwnedFd;

    UnixStream::connect::<&'static str> => fn(&'static str) -> io::Result<UnixStream>;
    UnixStream::connect_addr => fn(&UnixAddr) -> io::Result<UnixStream>;
    UnixStream::pair => fn() -> io::Result<(UnixStream, UnixStream)>;
    UnixStream::local_addr => fn(&UnixStream) -> io::Result<UnixAddr>;
    UnixStream::peer_addr => fn(&UnixStream) -> io::Result<UnixAddr>;
    UnixStream::shutdown => fn(&UnixStream, Shutdown) -> io::Result<()>;
    UnixStream::take_error => fn(&UnixStream) -> io::Result<Option<io::Error>>;
    UnixStream::set_nonblocking => fn(&UnixStream, bool) -> io::Result<()>;
    UnixStream::try_clone => fn(&UnixStream) -> io::Result<UnixStream>;
    UnixStream::as_fd => fn(&UnixStream) -> BorrowedFd<'_>;
    UnixStream::as_raw_fd => fn(&UnixStream) -> RawFd;
    UnixStream::into_raw_fd => fn(UnixStream) -> RawFd;
    UnixStream::from_raw_fd => unsafe fn(RawFd) -> UnixStream;
    UnixStream::from => fn(OwnedFd) -> UnixStream;
    OwnedFd::from => fn(UnixStream) -> OwnedFd;
    UnixStream::set_read_timeout => fn(&UnixStream, Option<Duration>) -> io::Result<()>;
    UnixStream::set_write_timeout => fn(&UnixStream, Option<Duration>) -> io::Result<()>;
    UnixStream::read_timeout => fn(&UnixStream) -> io::Result<Option<Duration>>;
    UnixStream::write_timeout => fn(&UnixStream) -> io::Result<Option<Duration>>;
    <UnixStream as Read>::read => fn(&mut UnixStream, &mut [u8]) -> io::Result<usize>;
    <UnixStream as Write>::write => fn(&mut UnixStream, &[u8]) -> io::Result<usize>;
    <&UnixStream as Read>::read => fn(&mut &'static UnixStream, &mut [u8]) -> io::Result<usize>;
    <&UnixStream as Write>::write => fn(&mut &'static UnixStream, &[u8]) -> io::Result<usize>;

    UnixDatagram::bind::<&'static str> => fn(&'static str) -> io::Result<UnixDatagram>;
    UnixDatagram::bind_addr => fn(&UnixAddr) -> io::Result<UnixDatagram>;
    UnixDatagram::unbound => fn() -> io::Result<UnixDatagram>;
    UnixDatagram::pair => fn() -> io::Result<(UnixDatagram, UnixDatagram)>;
    UnixDatagram::connect::<&'static str> => fn(&UnixDatagram, &'static str) -> io::Result<()>;
    UnixDatagram::connect_addr => fn(&UnixDatagram, &UnixAddr) -> io::Result<()>;
    UnixDatagram::local_addr => fn(&UnixDatagram) -> io::Result<UnixAddr>;
    UnixDatagram::peer_addr => fn(&UnixDatagram) -> io::Result<UnixAddr>;
    UnixDatagram::recv_from => fn(&UnixDatagram, &mut [u8]) -> io::Result<(usize, UnixAddr)>;
    UnixDatagram::recv => fn(&UnixDatagram, &mut [u8]) -> io::Result<usize>;
    UnixDatagram::send_to::<&'static str> => fn(&UnixDatagram, &[u8], &'static str) -> io::Result<usize>;
    UnixDatagram::send_to_addr => fn(&UnixDatagram, &[u8], &UnixAddr) -> io::Result<usize>;
    UnixDatagram::send => fn(&UnixDatagram, &[u8]) -> io::Result<usize>;
    UnixDatagram::shutdown => fn(&UnixDatagram, Shutdown) -> io::Result<()>;
    UnixDatagram::take_error => fn(&UnixDatagram) -> io::Result<Option<io::Error>>;
    UnixDatagram::set_nonblocking => fn(&UnixDatagram, bool) -> io::Result<()>;
    UnixDatagram::try_clone => fn(&UnixDatagram) -> io::Result<UnixDatagram>;
    UnixDatagram::as_fd => fn(&UnixDatagram) -> BorrowedFd<'_>;
    UnixDatagram::as_raw_fd => fn(&UnixDatagram) -> RawFd;
    UnixDatagram::into_raw_fd => fn(UnixDatagram) -> RawFd;
    UnixDatagram::from_raw_fd => unsafe fn(RawFd) -> UnixDatagram;
    UnixDatagram::from => fn(OwnedFd) -> UnixDatagram;
    OwnedFd::from => fn(UnixDatagram) -> OwnedFd;
    UnixDatagram::set_read_timeout => fn(&UnixDatagram, Option<Duration>) -> io::Result<()>;
    UnixDatagram::set_write_timeout => fn(&UnixDatagram, Option<Duration>) -> io::Result<()>;
    UnixDatagram::read_timeout => fn(&UnixDatagram) -> io::Result<Option<Duration>>;
    UnixDatagram::write_timeout => fn(&UnixDatagram) -> io::Result<Option<Duration>>;
}
