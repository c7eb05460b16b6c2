//! Unix socket addresses between std, whose type the user sees, and nix, which makes the calls.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use nix::sys::socket::{SockaddrStorage, UnixAddr};

/// `address` for a system call.
pub(super) fn to_system(address: &SocketAddr) -> io::Result<UnixAddr> {
    Ok(match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => UnixAddr::new(path)?,
        (None, Some(name)) => UnixAddr::new_abstract(name)?,
        (None, None) => UnixAddr::new_unnamed(),
    })
}

/// The address that the kernel gave, as std shows it. `None` stands for a socket without a name.
pub(super) fn from_system(address: Option<SockaddrStorage>) -> io::Result<SocketAddr> {
    shown(address.as_ref().and_then(SockaddrStorage::as_unix_addr))
}

fn shown(address: Option<&UnixAddr>) -> io::Result<SocketAddr> {
    if let Some(name) = address.and_then(UnixAddr::as_abstract) {
        return SocketAddr::from_abstract_name(name);
    }
    match address
        .and_then(UnixAddr::path)
        .map(SocketAddr::from_pathname)
    {
        Some(Ok(path)) => Ok(path),
        // std makes no address of a path of 108 bytes, which the kernel allows. That must not cost
        // a connection, so it is shown as none, which is what std makes of an empty path.
        Some(Err(_)) | None => SocketAddr::from_pathname(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_there_and_back() {
        let longest = "x".repeat(107);
        let addresses = [
            SocketAddr::from_pathname("").unwrap(),
            SocketAddr::from_pathname("a/path").unwrap(),
            SocketAddr::from_pathname(&longest).unwrap(),
            SocketAddr::from_abstract_name("").unwrap(),
            SocketAddr::from_abstract_name(b"a\0name").unwrap(),
            SocketAddr::from_abstract_name(&longest).unwrap(),
        ];
        for address in addresses {
            let back = shown(Some(&to_system(&address).unwrap())).unwrap();
            assert_eq!(format!("{back:?}"), format!("{address:?}"));
        }
        assert!(from_system(None).unwrap().is_unnamed());
    }
}
