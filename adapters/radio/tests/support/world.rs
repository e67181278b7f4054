//! Three boards with flash in memory, on one air that loses frames.

use super::nor::{Nor, NorError};
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use quorate::Blank;
use quorate::codec::{Full, Malformed, Sink};
use quorate::raft::Role;
use quorate::replicated::{Outcome, Request};
use quorate::space::Fixed;
use quorate::{Application, ClusterId, Instant, Moment, NodeId, Replicated, Rng, Timestamp, codec};
use quorate_radio::{
    Flash, FlashError, FlashOptions, Link, LinkConfig, Node, Phy, Radio, RestoreError, SendError, Stopped,
    Store, Told,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What is replicated: all numbers that were ever said, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll(pub Vec<u32>);

/// A number to say.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Say(pub u32);

impl quorate::Command for Say {
    fn weight(&self) -> usize {
        5
    }
}

impl Application for Roll {
    type Command = Say;
    type Reply = u32;
    type Query = ();
    type Answer = ();
    type Notice = ();

    fn tick(&mut self, _now: Moment) {}

    fn apply(&mut self, _now: Moment, command: &Say) -> u32 {
        self.0.push(command.0);
        self.0.len() as u32
    }

    fn notice(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn query(&self, _now: Timestamp, _query: &()) {}

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        self.0.iter().try_for_each(|number| codec::put(number, sink))
    }

    fn load(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        self.0.clear();
        while !bytes.is_empty() {
            self.0.push(codec::take(&mut bytes)?);
        }
        Ok(())
    }
}

pub type Machine = Replicated<Roll, Fixed<3, 16, 64, 8>, 4, 8>;
pub type Device = Nor<4, 512>;
pub type Lines = Link<4, 1024, 512>;
type Running = Node<'static, Machine, Port, Flash<Shared>, 4, 1024, 512>;

/// A device that outlives the node that uses it.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Device>>);

impl ErrorType for Shared {
    type Error = NorError;
}

impl ReadNorFlash for Shared {
    const READ_SIZE: usize = Device::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorError> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for Shared {
    const WRITE_SIZE: usize = Device::WRITE_SIZE;
    const ERASE_SIZE: usize = Device::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        self.0.borrow_mut().write(offset, bytes)
    }
}

/// What is between the boards.
pub struct Air {
    pub inboxes: Vec<VecDeque<Vec<u8>>>,
    /// Frames lost of a hundred.
    pub loss: u64,
    /// Boards that neither hear nor are heard.
    pub jammed: Vec<bool>,
    /// Whether frames are damaged, and noise is heard.
    pub noise: bool,
    rng: Rng,
}

/// A board's radio.
pub struct Port {
    air: Rc<RefCell<Air>>,
    at: usize,
}

impl Radio for Port {
    type Error = ();

    fn mtu(&self) -> usize {
        127
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<()>> {
        assert!(frame.len() <= 127);
        let air = &mut *self.air.borrow_mut();
        for to in (0..air.inboxes.len()).filter(|to| *to != self.at) {
            if air.jammed[to] || air.jammed[self.at] || air.rng.next() % 100 < air.loss {
                continue;
            }
            let mut frame = frame.to_vec();
            if air.noise && air.rng.next().is_multiple_of(5) {
                let bit = air.rng.next() as usize % (frame.len() * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
                let len = frame.len() - air.rng.next() as usize % 3;
                frame.truncate(len);
                let noise = (0..air.rng.next() % 127).map(|_| air.rng.next() as u8).collect();
                air.inboxes[to].push_back(noise);
            }
            air.inboxes[to].push_back(frame);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, ()> {
        let frame = self.air.borrow_mut().inboxes[self.at].pop_front();
        Ok(frame.map(|frame| {
            buffer[..frame.len()].copy_from_slice(&frame);
            frame.len()
        }))
    }
}

pub struct Board {
    pub device: Shared,
    pub node: Option<Running>,
    pub stopped: Option<Stopped<FlashError<NorError>, ()>>,
    waiting: BTreeMap<String, u32>,
}

pub struct World {
    pub now: u64,
    pub rng: Rng,
    pub air: Rc<RefCell<Air>>,
    pub boards: Vec<Board>,
    /// Who led in which term.
    leaders: BTreeMap<u64, u64>,
    /// Numbers whose outcome was told.
    pub acknowledged: Vec<u32>,
}

pub const OPTIONS: FlashOptions = FlashOptions {
    cluster: ClusterId::new(7),
    node: NodeId::new(0),
    from: 0,
    pages: 48,
    record_bytes: 1024,
    snapshot_bytes: 1536,
};

impl World {
    pub fn new(seed: u64, loss: u64) -> Self {
        let mut rng = Rng::new(seed);
        let air = Air {
            inboxes: vec![VecDeque::new(); 3],
            loss,
            jammed: vec![false; 3],
            noise: false,
            rng: Rng::new(rng.next()),
        };
        let board = |_| Board {
            device: Shared(Rc::new(RefCell::new(Device::new(48, seed)))),
            node: None,
            stopped: None,
            waiting: BTreeMap::new(),
        };
        let mut world = Self {
            now: 0,
            rng,
            air: Rc::new(RefCell::new(air)),
            boards: (0..3).map(board).collect(),
            leaders: BTreeMap::new(),
            acknowledged: Vec::new(),
        };
        (0..3).for_each(|at| world.boot(at).expect("a blank flash is a new node"));
        world
    }

    /// A radio in the place of a board's.
    pub fn port(&self, at: usize) -> Port {
        Port { air: self.air.clone(), at }
    }

    /// Switches a board on.
    pub fn boot(&mut self, at: usize) -> Result<(), RestoreError<FlashError<NorError>>> {
        let voters = [1, 2, 3].map(NodeId::new);
        let id = voters[at];
        let board = &mut self.boards[at];
        board.device.0.borrow_mut().power_on();
        (board.stopped, board.waiting) = (None, BTreeMap::new());
        self.air.borrow_mut().inboxes[at].clear();
        let options = FlashOptions { node: id, ..OPTIONS };
        let flash = Flash::open(board.device.clone(), options).map_err(RestoreError::Store)?;
        let config = LinkConfig::new(OPTIONS.cluster, id, flash.epoch(), Phy::IEEE_802_15_4);
        let seed = self.rng.next();
        let mut settings = quorate_radio::settings(id, &voters);
        settings.raft.window_bytes = 512;
        settings.raft.record_bytes = 512;
        settings.snapshot_bytes = 256;
        // What a board keeps in statics; a test that leaks it is over soon.
        let link = Box::leak(Box::new(Lines::new(config, seed).expect("sound settings")));
        let place = Box::leak(Box::new(Blank::new(&settings, Instant::from_micros(self.now))));
        let scratch = Box::leak(Box::new([0; 2048]));
        let port = Port { air: self.air.clone(), at };
        let mut node = Node::new(link, port, flash, scratch);
        node.start(place, seed)?;
        board.node = Some(node);
        Ok(())
    }

    /// Takes a board's power away.
    pub fn kill(&mut self, at: usize) {
        self.boards[at].node = None;
    }

    /// Takes a board's power away in the middle of a write to come.
    pub fn cut(&mut self, at: usize, operations: u64) {
        let device = &mut self.boards[at].device.0.borrow_mut();
        device.cut_at = Some(device.operations + operations);
    }

    /// Lets time pass.
    pub fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now += 1000;
            (0..3).for_each(|at| self.turn(at));
        }
    }

    fn turn(&mut self, at: usize) {
        let board = &mut self.boards[at];
        let Some(node) = &mut board.node else { return };
        let (waiting, acknowledged) = (&mut board.waiting, &mut self.acknowledged);
        let turned = node.turn(Instant::from_micros(self.now), |told| match told {
            Told::Ended { ticket, outcome } => {
                let number = waiting.remove(&format!("{ticket:?}")).expect("it was asked, once");
                if let Outcome::Replied { .. } = outcome {
                    acknowledged.push(number);
                }
            }
            Told::Event(_) => {}
            Told::Message(message) => panic!("nobody asks: {message:?}"),
        });
        if let Err(stopped) = turned {
            assert!(node.machine().is_none(), "a machine whose store failed is not asked again");
            assert!(matches!(node.turn(Instant::from_micros(self.now), |_| ()), Err(Stopped::Idle)));
            (board.stopped, board.node) = (Some(stopped), None);
            return;
        }
        let status = node.machine().expect("it runs").status();
        if status.role == Role::Leader {
            let leader = *self.leaders.entry(status.term.get()).or_insert(status.id.get());
            assert_eq!(leader, status.id.get(), "two leaders in {:?}", status.term);
        }
    }

    /// Says a number at a board. Tells whether it was taken up.
    pub fn say(&mut self, at: usize, number: u32) -> bool {
        let board = &mut self.boards[at];
        let Some(node) = &mut board.node else { return false };
        let asked = node.request(Instant::from_micros(self.now), Request::Command(Say(number)));
        let Some(Ok(ticket)) = asked else { return false };
        board.waiting.insert(format!("{ticket:?}"), number);
        true
    }

    pub fn machine(&self, at: usize) -> &Machine {
        self.boards[at].node.as_ref().and_then(Running::machine).expect("it runs")
    }

    pub fn leader(&self) -> Option<usize> {
        let leads = |at: &usize| {
            let machine = self.boards[*at].node.as_ref().and_then(Running::machine);
            machine.is_some_and(|machine| machine.status().role == Role::Leader)
        };
        (0..3).filter(leads).max_by_key(|at| self.machine(*at).status().term)
    }

    pub fn await_leader(&mut self) -> usize {
        for _ in 0..1000 {
            self.run(20);
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("nobody is elected");
    }

    /// Waits until all boards hold the same, and sees that all that was acknowledged is there, once.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            self.run(20);
            let rolls = [0, 1, 2].map(|at| self.machine(at).application());
            let applied = [0, 1, 2].map(|at| self.machine(at).status());
            let level = applied.iter().all(|status| status.applied == applied[0].last);
            if level && self.boards.iter().all(|board| board.waiting.is_empty()) {
                assert!(rolls.iter().all(|roll| *roll == rolls[0]), "replicas differ");
                let mut said = rolls[0].0.clone();
                said.sort_unstable();
                assert!(said.windows(2).all(|two| two[0] != two[1]), "applied twice: {said:?}");
                let lost = self.acknowledged.iter().find(|number| !said.contains(number));
                assert_eq!(lost, None, "acknowledged, and lost");
                return;
            }
        }
        let status = [0, 1, 2].map(|at| self.machine(at).status());
        panic!("they do not agree: {status:?}");
    }
}
