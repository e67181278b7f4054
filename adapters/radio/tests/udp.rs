//! Frames as datagrams over simulated 802.15.4, a claim each. Without an allocator but for the air.
#![cfg(feature = "smoltcp")]

mod common;

use common::*;
use quorate::Instant;
use quorate_radio::udp::{ALL_NODES, FITS, PORT, Udp};
use quorate_radio::{Kind, Radio};
use smoltcp::iface::{Config, Interface, SocketStorage};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Ieee802154Address, Ieee802154Pan, IpAddress, IpCidr};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// The longest frame of 802.15.4, less the checksum that the radio adds.
const LONGEST: usize = 125;

/// What each of two devices has not heard yet, and all that was sent.
#[derive(Default)]
struct Ether {
    waiting: [RefCell<VecDeque<Vec<u8>>>; 2],
    sent: RefCell<Vec<Vec<u8>>>,
    now: Cell<u64>,
}

/// One of two devices that hear each other.
struct Card<'e> {
    ether: &'e Ether,
    side: usize,
}

struct Heard(Vec<u8>);

struct Sends<'e> {
    ether: &'e Ether,
    side: usize,
}

impl<'e> Device for Card<'e> {
    type RxToken<'t>
        = Heard
    where
        Self: 't;
    type TxToken<'t>
        = Sends<'e>
    where
        Self: 't;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Heard, Sends<'e>)> {
        let frame = self.ether.waiting[self.side].borrow_mut().pop_front()?;
        Some((Heard(frame), Sends { ether: self.ether, side: self.side }))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sends<'e>> {
        Some(Sends { ether: self.ether, side: self.side })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ieee802154;
        capabilities.max_transmission_unit = LONGEST;
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

impl phy::RxToken for Heard {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl phy::TxToken for Sends<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let filled = fill(&mut frame);
        self.ether.waiting[1 - self.side].borrow_mut().push_back(frame.clone());
        self.ether.sent.borrow_mut().push(frame);
        filled
    }
}

/// Link-local and from the hardware's address, as 6LoWPAN leaves out of its header.
fn address(id: u64) -> IpAddress {
    IpAddress::v6(0xFE80, 0, 0, 0, 0x0200, 0, 0, id as u16)
}

/// Buffers as a board has them: static, or on the stack of its main function.
struct Room<'s> {
    sockets: [SocketStorage<'s>; 1],
    received: ([PacketMetadata; 4], [u8; 512]),
    sent: ([PacketMetadata; 2], [u8; 256]),
}

impl Room<'_> {
    const fn new() -> Self {
        let none = PacketMetadata::EMPTY;
        Self { sockets: [SocketStorage::EMPTY], received: ([none; 4], [0; 512]), sent: ([none; 2], [0; 256]) }
    }
}

fn radio<'r, 'e: 'r>(
    ether: &'e Ether,
    side: usize,
    room: &'r mut Room<'r>,
    address_of: fn(quorate::NodeId) -> IpAddress,
) -> impl Radio<Error = std::convert::Infallible> + 'r {
    let id = side as u64 + 1;
    let mut device = Card { ether, side };
    let hardware = Ieee802154Address::Extended([0, 0, 0, 0, 0, 0, 0, id as u8]);
    let mut config = Config::new(hardware.into());
    config.pan_id = Some(Ieee802154Pan(0xBEEF));
    let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
    interface
        .update_ip_addrs(|addresses| addresses.push(IpCidr::new(address(id), 64)).expect("there is room"));
    let Room { sockets, received, sent } = room;
    let socket = Socket::new(
        PacketBuffer::new(&mut received.0[..], &mut received.1[..]),
        PacketBuffer::new(&mut sent.0[..], &mut sent.1[..]),
    );
    let clock = || Instant::from_micros(ether.now.get());
    Udp::new((interface, device), sockets, socket, PORT, (clock, address_of))
        .expect("a port, and a new socket")
}

/// Node 1 tells node 2 a message, which answers it. Returns what came, and how many frames of 802.15.4 it took.
fn exchange(message: &[u8], address_of: fn(quorate::NodeId) -> IpAddress) -> (Vec<Vec<u8>>, usize) {
    let ether = Ether::default();
    let mut rooms = (Room::new(), Room::new());
    let mut radios: [Box<dyn Radio<Error = std::convert::Infallible> + '_>; 2] = [
        Box::new(radio(&ether, 0, &mut rooms.0, address_of)),
        Box::new(radio(&ether, 1, &mut rooms.1, address_of)),
    ];
    let mut links = [link(1, 1), link(2, 1)];
    assert!(post(&mut links[0], 2, message));
    let mut heard = Vec::new();
    for now in (0..3_000_000).step_by(1_000) {
        ether.now.set(now);
        for side in 0..2 {
            let mut buffer = [0; 127];
            let Ok(received) = radios[side].receive(&mut buffer);
            if let Some((from, Kind::Peer, message)) =
                received.and_then(|len| hear_at(&mut links[side], now, &buffer[..len]))
            {
                assert_eq!(from, 2 - side as u64);
                if side == 1 {
                    assert!(post_at(&mut links[1], now, 1, Kind::Peer, &message));
                }
                heard.push(message);
            }
            let Ok(()) = links[side].transmit(at(now), &mut *radios[side]);
        }
    }
    let frames = ether.sent.borrow();
    assert!(frames.iter().all(|frame| frame.len() <= LONGEST));

    (heard, frames.len())
}

#[test]
fn two_nodes_tell_each_other_messages_by_multicast() {
    let (heard, frames) = exchange(b"hello", |_| ALL_NODES);
    assert_eq!(heard, [b"hello", b"hello"]);
    assert_eq!(frames, 2);
}

#[test]
fn two_nodes_tell_each_other_messages_by_their_addresses() {
    let (heard, frames) = exchange(b"hello", |node| address(node.get()));
    assert_eq!(heard, [b"hello", b"hello"]);
    // One asks for the other's hardware address first, and is told.
    assert_eq!(frames, 4);
}

#[test]
fn a_frame_as_long_as_said_is_not_cut_on_the_way() {
    let overhead = frames(&mut link(1, 1), 2, &[], 127)[0].len();
    for address_of in [|_| ALL_NODES, |node: quorate::NodeId| address(node.get())] {
        let (heard, frames) = exchange(&[7; FITS][overhead..], address_of);
        assert_eq!(heard.len(), 2);
        assert!(frames <= 4, "{frames}");
    }
    // What is longer is cut before, so that it is known of.
    let (heard, frames) = exchange(&[7; FITS + 1][overhead..], |_| ALL_NODES);
    assert_eq!((heard.len(), frames), (2, 4));
}

#[test]
fn long_messages_come_whole() {
    let message: Vec<_> = (0..400).map(|at| at as u8).collect();
    let (heard, _) = exchange(&message, |_| ALL_NODES);
    assert_eq!(heard, [message.clone(), message]);
}

#[test]
fn a_node_that_is_not_there_does_not_hold_up_what_is_for_others() {
    let ether = Ether::default();
    let mut rooms = (Room::new(), Room::new());
    let by_address: fn(quorate::NodeId) -> IpAddress = |node| address(node.get());
    let mut here = radio(&ether, 0, &mut rooms.0, by_address);
    let mut there = radio(&ether, 1, &mut rooms.1, by_address);
    let mut links = [link(1, 1), link(2, 1)];
    let (mut told, mut heard) = (0, 0);
    for now in (0..10_000_000).step_by(1_000) {
        ether.now.set(now);
        if now % 100_000 == 0 {
            // Nobody has the address of node 3.
            for to in [3, 2] {
                assert!(post_at(&mut links[0], now, to, Kind::Peer, &now.to_le_bytes()));
            }
            told += 1;
        }
        let mut buffer = [0; 127];
        let Ok(_) = here.receive(&mut buffer);
        let Ok(received) = there.receive(&mut buffer);
        let message = received.and_then(|len| hear_at(&mut links[1], now, &buffer[..len]));
        heard += usize::from(message.is_some());
        let Ok(()) = links[0].transmit(at(now), &mut here);
    }
    assert!(heard + 5 > told, "{heard} of {told}");
}
