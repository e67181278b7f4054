//! What the lock protects: it lets uses through whose token is at least the highest it saw.

use crate::board::{Board, Modem};
use crate::exit::{Reason, stop};
use crate::flash::HostFlash;
use crate::kept::Kept;
use crate::report::line;
use crate::uart::Line;
use crate::{stack, uart};
use core::time::Duration;
use quorate::Instant;
use quorate::codec::{self, Sink};
use quorate::lock::Token;
use quorate_radio::remote::{Desk, Fence, Used};
use quorate_radio::{Kind, Link, Radio};

/// Eight clients; uses and answers are short.
type ResourceLink = Link<8, 384, 64>;

/// How often it reports.
const REPORT: Duration = Duration::from_millis(250);

/// A resource.
pub struct Resource {
    board: Board,
    modem: Modem,
    link: ResourceLink,
    desk: Desk<(), 8, 32>,
    fence: Fence,
    kept: Kept,
    next_report: Instant,
}

impl Resource {
    /// A resource that goes on from the highest token that its flash kept.
    #[must_use]
    pub fn new(board: Board, flash: HostFlash) -> Option<Self> {
        let (kept, life, highest) = Kept::open(flash)?;
        let now = board.clock.now();
        let line = line("boot").number("life", u64::from(life)).maybe("token", highest.map(Token::get));
        drop(line.word("role", "guards"));
        Some(Self {
            link: ResourceLink::new(board.link(life), board.seed(life)).ok()?,
            desk: Desk::default(),
            fence: Fence::kept(highest),
            kept,
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
            self.answer(now);
            self.report(now);
            let Ok(()) = self.link.transmit(now, &mut self.modem);
            let next = self.link.deadline().map_or(self.next_report, |next| next.min(self.next_report));
            self.board.clock.sleep(Some(next));
        }
    }

    fn take_in(&mut self, now: Instant) {
        let mut frame = [0; 127];
        for _ in 0..16 {
            let Ok(Some(length)) = self.modem.receive(&mut frame) else { return };
            let frame = frame.get_mut(..length).unwrap_or_default();
            match self.link.receive(now, frame) {
                Some(received) if received.kind == Kind::Ask => {
                    self.desk.take(received.from, received.message);
                }
                Some(_) | None => {}
            }
        }
    }

    fn answer(&mut self, now: Instant) {
        while let Some((client, ask)) = self.desk.next_ask() {
            // Nonsense is not answered.
            let Ok(token) = codec::take_all::<Token>(ask) else { continue };
            let before = self.fence.highest();
            let used = self.fence.admit(token);
            // Durable before it has an effect: a resource that forgot would let a lower one through.
            if self.fence.highest() != before && self.kept.token(token).is_none() {
                stop(Reason::Failed, "flash");
            }
            let what = if used == Used::Accepted { "used" } else { "refused" };
            let line = line(what).number("client", client.get()).number("with", token.get());
            drop(line.maybe("token", self.fence.highest().map(Token::get)));
            self.desk.answer(client, |answer| codec::put(&used, answer));
        }
        while let Some((client, answer)) = self.desk.next_answer() {
            self.link.post(now, client, Kind::Answer, |room| room.put(answer));
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
