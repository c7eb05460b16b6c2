//! The options of a `UdpSocket`: broadcast, multicast and the time to live. They are the kernel's,
//! and none of these calls waits.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::UdpSocket;

impl UdpSocket {
    /// Sets `SO_BROADCAST`: whether the socket may send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket.get().set_broadcast(broadcast)
    }

    /// The value of `SO_BROADCAST`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.get().broadcast()
    }

    /// Sets `IP_TTL`, the time to live of the packets sent from this socket.
    ///
    /// # Errors
    ///
    /// When the value is out of range.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.get().set_ttl(ttl)
    }

    /// The value of `IP_TTL`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.get().ttl()
    }

    /// Joins the group `multiaddr` on the interface that has the address `interface`, or on one of the
    /// system's choice for [`Ipv4Addr::UNSPECIFIED`]: what is sent to the group is received.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address that is no group's; `ENODEV` where there is no such interface.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.get().join_multicast_v4(multiaddr, interface)
    }

    /// Joins the group `multiaddr` on the interface with the index `interface`, or on one of the
    /// system's choice for 0: what is sent to the group is received.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an address that is no group's; `ENODEV` where there is no such interface.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.get().join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v4`](Self::join_multicast_v4) joined.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` where it was not joined.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket.get().leave_multicast_v4(multiaddr, interface)
    }

    /// Leaves a group that [`join_multicast_v6`](Self::join_multicast_v6) joined.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` where it was not joined.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.get().leave_multicast_v6(multiaddr, interface)
    }

    /// Sets `IP_MULTICAST_LOOP`: whether what is sent to a group is also received on this host.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.socket.get().set_multicast_loop_v4(multicast_loop_v4)
    }

    /// The value of `IP_MULTICAST_LOOP`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket.get().multicast_loop_v4()
    }

    /// Sets `IP_MULTICAST_TTL`, the time to live of the packets sent to a group.
    ///
    /// # Errors
    ///
    /// When the value is out of range.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.socket.get().set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// The value of `IP_MULTICAST_TTL`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket.get().multicast_ttl_v4()
    }

    /// Sets `IPV6_MULTICAST_LOOP`: whether what is sent to a group is also received on this host.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` reports.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.socket.get().set_multicast_loop_v6(multicast_loop_v6)
    }

    /// The value of `IPV6_MULTICAST_LOOP`.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket.get().multicast_loop_v6()
    }
}
