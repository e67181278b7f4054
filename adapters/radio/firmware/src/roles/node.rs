//! A voter: one node of the lock service.

use crate::board::{Board, Modem};
use crate::exit::{Reason, stop};
use crate::flash::HostFlash;
use crate::report::line;
use crate::uart::Line;
use crate::{stack, uart};
use core::time::Duration;
use quorate::Blank;
use quorate::lock::{Name, Owner, Table};
use quorate::raft::{Role, Status};
use quorate::replicated::Ticket;
use quorate::space::Fixed;
use quorate::{Fault, Instant, Replicated};
use quorate_radio::remote::Desk;
use quorate_radio::{Flash, FlashError, FlashOptions, Link, Node, RestoreError, Stopped, Store, settings};

/// Room for up to `VOTERS` voters: a window of 32 entries, snapshots in pieces that fit a frame, and four requests
/// under way.
pub type Space<const VOTERS: usize> = Fixed<VOTERS, 32, 64, 4>;
/// The machine: a lock table of eight sessions, two locks and eight waiters, with names of up to 32 bytes. Each
/// voter has one of the `SESSIONS` of the log, and one is left for who comes back. All this is the same on all voters of a
/// cluster: they run the same image.
pub type Machine<const VOTERS: usize, const SESSIONS: usize> =
    Replicated<Table<Space<VOTERS>, 8, 2, 8, 32>, Space<VOTERS>, SESSIONS, 4>;
/// The link: as many other boards as there are voters and clients, half a kilobyte that waits, and messages of up to
/// 256 bytes.
pub type NodeLink = Link<12, 512, 256>;
type Running<'n, const VOTERS: usize, const SESSIONS: usize> =
    Node<'n, Machine<VOTERS, SESSIONS>, Modem, Flash<HostFlash>, 12, 512, 256>;

/// Bytes of the longest record, and of the longest snapshot. A record holds the window when it restarts the log.
const RECORD: u32 = 2_304;
const SNAPSHOT: u32 = 2_048;
/// Room for the longest of them, and of frames.
pub const SCRATCH: usize = RECORD as usize;

/// How often it reports what it does.
const REPORT: Duration = Duration::from_millis(250);
/// Turns at one moment, at most: more would keep it from looking at the clock.
const TURNS: usize = 16;
/// The lock whose holder is reported.
const LOCK: &str = "pump";

/// A voter.
pub struct Voter<'n, const VOTERS: usize, const SESSIONS: usize> {
    board: Board,
    node: Running<'n, VOTERS, SESSIONS>,
    desk: Desk<Ticket, 4, 96>,
    lock: Name<32>,
    status: Option<Status>,
    owner: Option<Owner>,
    next_report: Instant,
}

/// Opens the flash of a node, which begins a life.
#[inline(never)]
#[must_use]
pub fn open(board: &Board, flash: HostFlash) -> Flash<HostFlash> {
    let options = FlashOptions {
        cluster: board.cluster,
        node: board.id,
        from: 0,
        pages: flash.pages() as u32,
        record_bytes: RECORD,
        snapshot_bytes: SNAPSHOT,
    };
    match Flash::open(flash, options) {
        Ok(flash) => flash,
        Err(error) => refuse(&error),
    }
}

/// A machine that knows nothing yet, for the place where it stays.
#[inline(never)]
#[must_use]
pub fn blank<const VOTERS: usize, const SESSIONS: usize>(board: &Board) -> Blank<Machine<VOTERS, SESSIONS>> {
    let voters = board.voters();
    if voters.len() > VOTERS {
        stop(Reason::Arguments, "more-voters-than-this-image-has-room-for");
    }
    Blank::new(&settings(board.id, &voters), board.clock.now())
}

impl<'n, const VOTERS: usize, const SESSIONS: usize> Voter<'n, VOTERS, SESSIONS> {
    /// A voter without a machine: [`start`](Self::start) it.
    #[inline(never)]
    pub fn new(board: Board, flash: Flash<HostFlash>, link: &'n mut NodeLink, scratch: &'n mut [u8]) -> Self {
        let node = Running::new(link, Modem::new(Line::open()), flash, scratch);
        let Some(lock) = Name::new(LOCK) else { stop(Reason::Panicked, "the-name-is-short") };
        Self {
            board,
            node,
            desk: Desk::default(),
            lock,
            status: None,
            owner: None,
            next_report: Instant::default(),
        }
    }

    /// Goes on from what the flash holds.
    #[inline(never)]
    pub fn start(&mut self, machine: &'n mut Blank<Machine<VOTERS, SESSIONS>>) {
        let life = self.node.store().epoch();
        match self.node.start(machine, self.board.seed(life)) {
            Ok(()) => {}
            Err(RestoreError::Store(error)) => refuse(&error),
            Err(RestoreError::Fault(fault)) => refuse_records(fault),
            Err(RestoreError::Scratch { .. }) => stop(Reason::Damaged, "a-record-is-too-long"),
        }
        let Some(status) = self.node.machine().map(quorate::Replicated::status) else { return };
        let line = line("boot").number("life", u64::from(life)).number("term", status.term.get());
        let line = line.number("last", status.last.get()).number("applied", status.applied.get());
        // Bytes, of what is large; the stack holds all of it.
        let line = line.number("machine", size_of::<Blank<Machine<VOTERS, SESSIONS>>>() as u64);
        let line = line.number("link", size_of::<NodeLink>() as u64).number("scratch", SCRATCH as u64);
        drop(line.number("voter", size_of::<Self>() as u64));
    }

    /// Runs for ever.
    #[inline(never)]
    pub fn run(&mut self) -> ! {
        loop {
            let now = self.board.clock.now();
            self.board.check_life(now);
            let next = self.turns(now);
            self.report(now);
            let next = next.map_or(self.next_report, |next| next.min(self.next_report));
            self.board.clock.sleep(Some(next));
        }
    }

    fn turns(&mut self, now: Instant) -> Option<Instant> {
        for _ in 0..TURNS {
            let desk = &mut self.desk;
            let next = match self.node.turn(now, |told| drop(desk.tell(told))) {
                Ok(next) => next,
                Err(Stopped::Store(error)) => refuse(&error),
                Err(Stopped::Fault(fault)) => refuse_records(fault),
                Err(Stopped::Scratch { .. }) => stop(Reason::Damaged, "a-snapshot-is-too-long"),
                Err(Stopped::Idle) => stop(Reason::Panicked, "no-machine"),
                Err(Stopped::Radio(never)) => match never {},
            };
            let served = self.desk.serve(now, &mut self.node);
            self.look();
            if !served && next.is_none_or(|next| next > now) {
                return next;
            }
        }
        Some(now)
    }

    /// Reports at once who leads and who holds the lock.
    fn look(&mut self) {
        let Some(machine) = self.node.machine() else { return };
        let (status, owner) = (machine.status(), machine.application().owner(&self.lock));
        let led = |status: &Status| (status.role == Role::Leader).then_some(status.term);
        if led(&status).is_some() && led(&status) != self.status.as_ref().and_then(led) {
            drop(line("leader").number("term", status.term.get()).word("role", "leader"));
        }
        if owner != self.owner {
            self.owner = owner;
            let line = line("holder").maybe("holder", owner.map(|owner| owner.session.get()));
            drop(line.maybe("token", owner.map(|owner| owner.token.get())));
        }
        let changed = |was: &Status| was.role != status.role || was.term != status.term;
        if self.status.as_ref().is_none_or(changed) {
            self.next_report = Instant::default();
        }
        self.status = Some(status);
    }

    fn report(&mut self, now: Instant) {
        let (Some(status), true) = (&self.status, now >= self.next_report) else { return };
        self.next_report = now.after(REPORT);
        let role = match status.role {
            Role::Follower if status.leader.is_some() => "follower",
            Role::Follower => "waits",
            Role::PreCandidate | Role::Candidate => "candidate",
            Role::Leader => "leader",
        };
        let line = line("status").word("role", role).number("term", status.term.get());
        let line = line.number("applied", status.applied.get());
        let line = line.maybe("holder", self.owner.map(|owner| owner.session.get()));
        let line = line.maybe("token", self.owner.map(|owner| owner.token.get()));
        let (cut, counters) = (self.node.radio().dropped(), *self.node.link().counters());
        let line = line.number("sent", u64::from(counters.frames_sent));
        let line = line.number("received", u64::from(counters.messages_heard));
        let own = counters.dropped.total() - counters.dropped.overheard;
        let malformed = self.node.dropped().malformed + self.desk.dropped();
        let line = line.number("dropped", u64::from(own + malformed + cut));
        let line = line.number("damaged", u64::from(counters.dropped.damaged + cut));
        let line = line.number("foreign", u64::from(counters.dropped.foreign));
        let line = line.number("repeated", u64::from(counters.dropped.repeated));
        drop(line.number("overrun", u64::from(uart::overrun())).number("stack", stack::deepest() as u64));
    }
}

fn refuse<E>(error: &FlashError<E>) -> ! {
    match error {
        FlashError::Foreign => stop(Reason::Foreign, "the-flash-is-that-of-another-node"),
        FlashError::Corrupt { .. } => stop(Reason::Damaged, "the-flash-is-damaged"),
        FlashError::Version(_) => stop(Reason::Damaged, "the-flash-has-another-format"),
        FlashError::NotEmpty { .. } => stop(Reason::Damaged, "the-flash-is-no-store"),
        FlashError::Full => stop(Reason::Failed, "the-flash-is-full"),
        FlashError::TooLong { .. } => stop(Reason::Failed, "a-record-or-a-snapshot-is-too-long"),
        _ => stop(Reason::Failed, "the-flash-failed"),
    }
}

fn refuse_records(fault: Fault) -> ! {
    match fault {
        Fault::Settings(why) => stop(Reason::Arguments, why),
        _ => stop(Reason::Damaged, "the-records-contradict-each-other"),
    }
}
