//! A client: it takes the lock, uses what the lock protects, and gives it back.

use crate::board::{Board, Modem, VOTERS};
use crate::report::line;
use crate::uart::Line;
use crate::{stack, uart};
use core::time::Duration;
use quorate::Instant;
use quorate::codec::{self, Sink};
use quorate::lock::{Name, Token, Ttl};
use quorate_radio::remote::{Asker, Holder, Patience, Progress, Used};
use quorate_radio::{Kind, Link, Radio};

/// Seven nodes and the resource; asks of up to 112 bytes, and answers.
type ClientLink = Link<8, 384, 128>;

/// How long a session lives without a renewal.
const LEASE: Duration = Duration::from_millis(2_500);
/// How long it holds the lock at a time.
const HOLD: Duration = Duration::from_millis(1_500);
/// How long it rests before it wants the lock again.
const REST: Duration = Duration::from_millis(400);
/// How often it uses the resource.
const USE: Duration = Duration::from_millis(200);
/// How often it reports what it does.
const REPORT: Duration = Duration::from_millis(250);
/// The lock that all clients want.
const LOCK: &str = "pump";

/// A client, and what it thinks of the lock.
pub struct Client {
    board: Board,
    modem: Modem,
    link: ClientLink,
    holder: Holder<VOTERS>,
    /// Asks the resource.
    user: Asker<1, 32>,
    /// The token of the use that is asked for.
    using: Option<Token>,
    /// It uses what it believes to hold, whatever its clock says.
    careless: bool,
    /// Whether the lease was good when it was last looked at.
    was_held: bool,
    /// When to give the lock back, or to want it again.
    change: Instant,
    next_use: Instant,
    next_report: Instant,
}

impl Client {
    /// A client in its `life`th life.
    #[must_use]
    pub fn new(board: Board, life: u32) -> Option<Self> {
        let (now, seed) = (board.clock.now(), board.seed(life));
        let (resource, careless) = (board.resource, board.careless);
        let (name, lease) = (Name::new(LOCK)?, Ttl::new(LEASE)?);
        let mut holder = Holder::new(&board.voters(), name, lease, Patience::default(), life, seed);
        holder.want(true);
        drop(line("boot").number("life", u64::from(life)).word("role", "waits"));
        Some(Self {
            link: ClientLink::new(board.link(life), seed).ok()?,
            holder,
            user: Asker::new(&[resource], Patience::default(), life, seed ^ 1),
            using: None,
            careless,
            was_held: false,
            change: now,
            next_use: now,
            next_report: now,
            board,
            modem: Modem::new(Line::open()),
        })
    }

    /// Runs for ever.
    pub fn run(&mut self) -> ! {
        loop {
            let now = self.board.clock.now();
            self.board.check_life(now);
            self.take_in(now);
            self.decide(now);
            self.ask(now);
            self.report(now);
            let Ok(()) = self.link.transmit(now, &mut self.modem);
            let deadlines = [self.holder.deadline(), self.user.deadline(), self.link.deadline()];
            let own = [self.change, self.next_use, self.next_report].into_iter().filter(|&at| at > now);
            self.board.clock.sleep(deadlines.into_iter().flatten().chain(own).min());
        }
    }

    fn take_in(&mut self, now: Instant) {
        let mut frame = [0; 127];
        // Bounded: what is received in one turn was received before it.
        for _ in 0..16 {
            let Ok(Some(length)) = self.modem.receive(&mut frame) else { return };
            let frame = frame.get_mut(..length).unwrap_or_default();
            let Some(received) = self.link.receive(now, frame) else { continue };
            if received.kind != Kind::Answer {
                continue;
            }
            if let Some(used) = self.user.take(received.from, received.message) {
                if let (Ok(used), Some(token)) = (codec::take_all::<Used>(used), self.using.take()) {
                    on_used(token, used);
                }
            } else if let Some(progress) = self.holder.take(now, received.from, received.message) {
                self.on_progress(now, progress);
            }
        }
    }

    fn on_progress(&mut self, now: Instant, progress: Progress) {
        match progress {
            Progress::Granted(token) => {
                self.was_held = true;
                self.change = now.after(HOLD);
                let session = self.holder.session().map(|session| session.get());
                drop(
                    line("granted")
                        .number("token", token.get())
                        .maybe("session", session)
                        .word("role", "holds"),
                );
            }
            Progress::Released => {
                self.was_held = false;
                self.change = now.after(REST);
                drop(line("released").word("role", "rests").word("token", "-"));
            }
            Progress::Lost(token) => {
                self.was_held = false;
                let token = token.map(Token::get);
                drop(line("lost").maybe("lost", token).word("role", "waits").word("token", "-"));
            }
            Progress::Opened(session) => drop(line("opened").number("session", session.get())),
            Progress::Renewed | Progress::Queued(_) | Progress::Delayed => {}
        }
    }

    /// Gives the lock back when it was held for long enough, and wants it again after a rest.
    fn decide(&mut self, now: Instant) {
        let held = self.holder.held(now);
        if let Some(token) = self.holder.believed() {
            if self.was_held && held.is_none() {
                drop(line("jeopardy").number("token", token.get()).word("role", "jeopardy"));
            } else if !self.was_held && held.is_some() {
                drop(line("regained").number("token", token.get()).word("role", "holds"));
            }
            self.was_held = held.is_some();
            // Who lost the air cannot give anything back.
            if held.is_some() && now >= self.change {
                self.was_held = false;
                self.holder.want(false);
                drop(line("releasing").number("token", token.get()).word("role", "releases"));
            }
        } else if now >= self.change {
            self.holder.want(true);
        }
    }

    fn ask(&mut self, now: Instant) {
        let may_use = if self.careless { self.holder.believed() } else { self.holder.held(now) };
        if let Some(token) = may_use.filter(|_| !self.user.is_asking() && now >= self.next_use) {
            self.next_use = now.after(USE);
            self.using = Some(token);
            // A token of ten bytes fits.
            let _ = self.user.ask(now, |ask| codec::put(&token, ask));
        }
        if let Some((to, ask)) = self.user.due(now) {
            self.link.post(now, to, Kind::Ask, |room| room.put(ask));
        }
        if let Some((to, ask)) = self.holder.due(now) {
            self.link.post(now, to, Kind::Ask, |room| room.put(ask));
        }
    }

    fn report(&mut self, now: Instant) {
        if now < self.next_report {
            return;
        }
        self.next_report = now.after(REPORT);
        let counters = self.link.counters();
        let line = line("status").number("sent", u64::from(counters.frames_sent));
        let line = line.number("received", u64::from(counters.messages_heard));
        let dropped = counters.dropped.total() - counters.dropped.overheard + self.modem.dropped();
        let line = line.number("dropped", u64::from(dropped)).number("overrun", u64::from(uart::overrun()));
        drop(line.number("stack", stack::deepest() as u64));
    }
}

fn on_used(token: Token, used: Used) {
    match used {
        Used::Accepted => drop(line("used").number("with", token.get())),
        Used::Refused { highest } => {
            drop(line("refused").number("with", token.get()).number("highest", highest.get()));
        }
    }
}
