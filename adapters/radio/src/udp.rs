//! Frames as UDP datagrams over 6LoWPAN and IEEE 802.15.4, through smoltcp.
//!
//! For boards that are on an IPv6 network of such radios anyway. It costs 22 bytes of each frame to all nodes and 27 of
//! one to an address, and the flash and RAM of smoltcp. A [`Radio`] that is the bare hardware costs neither.
//!
//! smoltcp keeps its own rules about the room that it takes; see `REASSEMBLY_BUFFER_SIZE` and the like there. Frames of
//! up to [`FITS`] bytes are not cut by 6LoWPAN, and then these buffers can be small: what is longer the link cuts
//! itself, and knows of it.

use crate::frame::Header;
use crate::{Radio, SendError};
use core::convert::Infallible;
use quorate::{Instant, NodeId};
use smoltcp::iface::{
    Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::phy::Device;
use smoltcp::socket::{Socket, udp};
use smoltcp::wire::{IpAddress, IpEndpoint};

/// The longest frame that goes into one of 802.15.4 whole, between addresses that are link-local and follow from the
/// hardware's, and a port like [`PORT`]. Global addresses take up to 32 bytes more, and security of the radio's own
/// up to 30: see [`Udp::with_mtu`].
pub const FITS: usize = 96;

/// A port that 6LoWPAN writes in half a byte (RFC 6282, 4.3.3); so are the fifteen after it.
pub const PORT: u16 = 0xF0B0;

/// All nodes of the network (RFC 4291, 2.7.1): where a frame goes whose addressee has no address of its own.
pub const ALL_NODES: IpAddress = IpAddress::v6(0xFF02, 0, 0, 0, 0, 0, 0, 1);

/// Packets that are taken in before a frame is handed out.
const PACKETS: usize = 16;

/// A [`Radio`] through a UDP socket.
pub struct Udp<'a, D, C, A> {
    interface: Interface,
    device: D,
    sockets: SocketSet<'a>,
    socket: SocketHandle,
    clock: C,
    address_of: A,
    port: u16,
    mtu: usize,
    lost: u32,
}

impl<'a, D: Device, C: FnMut() -> Instant, A: Fn(NodeId) -> IpAddress> Udp<'a, D, C, A> {
    /// A radio of a socket that is bound to `port` here, in an interface that has its addresses. Frames go to
    /// `address_of` their addressee: its own, or [`ALL_NODES`].
    ///
    /// # Errors
    /// The socket is open already, or the port is 0.
    pub fn new(
        (interface, device): (Interface, D),
        place: &'a mut [SocketStorage<'a>; 1],
        mut socket: udp::Socket<'a>,
        port: u16,
        (clock, address_of): (C, A),
    ) -> Result<Self, udp::BindError> {
        socket.bind(port)?;
        *place = [SocketStorage::EMPTY];
        let mut sockets = SocketSet::new(&mut place[..]);
        let socket = sockets.add(socket);
        Ok(Self { interface, device, sockets, socket, clock, address_of, port, mtu: FITS, lost: 0 })
    }

    /// The same, with frames of up to so many bytes. What does not fit one of 802.15.4 is cut by 6LoWPAN.
    #[must_use]
    pub const fn with_mtu(mut self, mtu: usize) -> Self {
        self.mtu = mtu;
        self
    }

    /// The interface.
    pub const fn interface(&mut self) -> &mut Interface {
        &mut self.interface
    }

    /// The device.
    pub const fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// How many frames could not be sent to where they were for, or not be taken in.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Lets the stack do what is due. `send` and `receive` do this too.
    pub fn poll(&mut self) {
        let now = self.now();
        self.interface.poll_maintenance(now);
        for _ in 0..PACKETS {
            let taken = self.interface.poll_ingress_single(now, &mut self.device, &mut self.sockets);
            if taken == PollIngressSingleResult::None {
                break;
            }
        }
        self.poll_egress();
    }

    fn poll_egress(&mut self) {
        let now = self.now();
        for _ in 0..PACKETS {
            let sent = self.interface.poll_egress(now, &mut self.device, &mut self.sockets);
            if sent == PollResult::None {
                break;
            }
        }
    }

    /// When the stack has something to do again, if nothing comes in before.
    pub fn deadline(&mut self) -> Option<Instant> {
        let now = self.now();
        let at = self.interface.poll_at(now, &self.sockets)?.max(now);
        Some(Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(u64::MAX)))
    }

    fn enqueue(&mut self, datagram: &[u8], to: IpAddress) -> Result<(), SendError<Infallible>> {
        let to = IpEndpoint::new(to, self.port);
        match self.sockets.get_mut::<udp::Socket<'_>>(self.socket).send_slice(datagram, to) {
            Ok(()) => self.poll_egress(),
            Err(udp::SendError::BufferFull) => return Err(SendError::Busy),
            Err(udp::SendError::Unaddressable) => self.lose(),
        }
        Ok(())
    }

    /// Whether a frame has not left: the device has no room, or the hardware address of its addressee is asked for.
    fn waits(&mut self) -> bool {
        self.sockets.get_mut::<udp::Socket<'_>>(self.socket).send_queue() > 0
    }

    /// Drops what waits. The stack holds all frames of a socket up behind one to a node that nobody knows the hardware
    /// address of, for as long as that is so; and forgets that only with the socket.
    fn empty_queue(&mut self) {
        #[allow(irrefutable_let_patterns)] // Other sockets are features of the stack.
        let Socket::Udp(mut socket) = self.sockets.remove(self.socket) else { return };
        socket.close();
        if socket.bind(self.port).is_err() {
            self.lose();
        }
        self.socket = self.sockets.add(socket);
    }

    fn now(&mut self) -> smoltcp::time::Instant {
        let micros = (self.clock)().as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }
}

impl<D: Device, C: FnMut() -> Instant, A: Fn(NodeId) -> IpAddress> Radio for Udp<'_, D, C, A> {
    type Error = Infallible;

    fn mtu(&self) -> usize {
        self.mtu
    }

    /// Sends a frame: to all nodes as long as the hardware address of its addressee is not known. One that the stack
    /// has no way for is lost.
    fn send(&mut self, mut frame: &[u8]) -> Result<(), SendError<Infallible>> {
        // Nothing is taken in here, since what is taken in and not handed out is lost with the queue.
        self.poll_egress();
        if self.waits() {
            return Err(SendError::Busy);
        }
        let datagram = frame;
        let to = Header::take(&mut frame).map_or(ALL_NODES, |header| (self.address_of)(header.to));
        self.enqueue(datagram, to)?;
        if to != ALL_NODES && self.waits() {
            self.empty_queue();
            self.enqueue(datagram, ALL_NODES)?;
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Infallible> {
        self.poll();
        for _ in 0..PACKETS {
            let received = self.sockets.get_mut::<udp::Socket<'_>>(self.socket).recv();
            let Ok((datagram, _)) = received else { return Ok(None) };
            if let Some(place) = buffer.get_mut(..datagram.len()) {
                place.copy_from_slice(datagram);
                return Ok(Some(datagram.len()));
            }
            self.lose();
        }
        Ok(None)
    }
}
