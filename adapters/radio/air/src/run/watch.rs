//! What boards were seen to do, and what must never be seen.

use super::board::Kind;
use super::report::Report;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A board as it was last seen.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub id: u64,
    pub board: &'static str,
    /// What it is, or does.
    pub role: String,
    pub on: bool,
    pub jammed: bool,
    pub life: Option<u64>,
    pub term: Option<u64>,
    pub applied: Option<u64>,
    /// Of a node, the session that holds the lock as it knows; of others, none.
    pub holder: Option<u64>,
    /// The token of that grant; of a client, of its own; of a resource, the highest it saw.
    pub token: Option<u64>,
    pub frames_sent: Option<u64>,
    pub frames_received: Option<u64>,
    /// Frames that its link dropped: of strangers, damaged, replayed.
    pub frames_dropped: Option<u64>,
    /// Of these, those with a wrong checksum, cut short or too long; of another cluster; played again.
    pub frames_damaged: Option<u64>,
    pub frames_foreign: Option<u64>,
    pub frames_repeated: Option<u64>,
    /// Bytes that its stack took at the deepest.
    pub stack: Option<u64>,
}

/// A line that was seen, and when.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Duration,
    pub board: usize,
    pub report: Report,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Watch {
    pub boards: Vec<Shown>,
    pub seen: Vec<Seen>,
    /// What must never be.
    pub broken: Vec<String>,
    leaders: BTreeMap<u64, u64>,
    /// The session of each grant, as nodes reported it.
    grants: BTreeMap<u64, u64>,
    /// The session of each grant that a client was told.
    acknowledged: BTreeMap<u64, u64>,
    /// The client that may act as the holder.
    holder: Option<usize>,
    highest_granted: u64,
    highest_used: u64,
}

impl Watch {
    /// Adds a board; they are numbered in this order.
    pub fn add(&mut self, kind: Kind, id: u64) {
        self.boards.push(Shown {
            id,
            board: kind.name(),
            role: "off".into(),
            on: false,
            jammed: false,
            life: None,
            term: None,
            applied: None,
            holder: None,
            token: None,
            frames_sent: None,
            frames_received: None,
            frames_dropped: None,
            frames_damaged: None,
            frames_foreign: None,
            frames_repeated: None,
            stack: None,
        });
    }

    /// Takes a line in.
    pub fn take(&mut self, at: Duration, board: usize, report: Report) {
        self.show(board, &report);
        self.check(board, &report);
        if report.what != "status" {
            self.seen.push(Seen { at, board, report });
        }
    }

    /// A board was switched off: it holds nothing any more that it could act on.
    pub fn off(&mut self, board: usize) {
        if let Some(shown) = self.boards.get_mut(board) {
            (shown.on, shown.role) = (false, "off".into());
        }
        if self.holder == Some(board) {
            self.holder = None;
        }
    }

    /// The board that leads in the highest term, by its number.
    pub fn leader(&self) -> Option<usize> {
        let leads = |shown: &&Shown| shown.on && shown.role == "leader";
        let best = self.boards.iter().filter(leads).max_by_key(|shown| shown.term)?;
        self.boards.iter().position(|shown| shown.id == best.id && shown.board == best.board)
    }

    /// The client that may act as the holder, and its token.
    pub fn holder(&self) -> Option<(usize, u64)> {
        let board = self.holder?;
        Some((board, self.boards.get(board)?.token?))
    }

    /// The first line since `after` that `look` picks.
    pub fn since<T>(&self, after: usize, look: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        self.seen.get(after..)?.iter().find_map(look)
    }

    /// Grants that a client was told and no node ever reported.
    pub fn lost_grants(&self) -> Vec<u64> {
        self.acknowledged.keys().filter(|token| !self.grants.contains_key(token)).copied().collect()
    }

    /// How many grants clients were told of.
    pub fn grants(&self) -> usize {
        self.acknowledged.len()
    }

    fn show(&mut self, board: usize, report: &Report) {
        let Some(shown) = self.boards.get_mut(board) else { return };
        shown.on = !matches!(report.what.as_str(), "stopped" | "panicked" | "crashed");
        if let Some(role) = report.text("role") {
            role.clone_into(&mut shown.role);
        }
        let take = |place: &mut Option<u64>, key: &str| {
            if let Some(value) = report.text(key) {
                *place = value.parse().ok();
            }
        };
        take(&mut shown.life, "life");
        take(&mut shown.term, "term");
        take(&mut shown.applied, "applied");
        take(&mut shown.holder, "holder");
        take(&mut shown.token, "token");
        take(&mut shown.frames_sent, "sent");
        take(&mut shown.frames_received, "received");
        take(&mut shown.frames_dropped, "dropped");
        take(&mut shown.frames_damaged, "damaged");
        take(&mut shown.frames_foreign, "foreign");
        take(&mut shown.frames_repeated, "repeated");
        take(&mut shown.stack, "stack");
    }

    fn check(&mut self, board: usize, report: &Report) {
        let Some((id, kind)) = self.boards.get(board).map(|shown| (shown.id, shown.board)) else { return };
        let number = |key| report.number(key).unwrap_or_default();
        match (kind, report.what.as_str()) {
            ("node", "leader") => self.on_leader(id, number("term")),
            ("node", "holder") => {
                if let (Some(token), Some(session)) = (report.number("token"), report.number("holder")) {
                    let first = *self.grants.entry(token).or_insert(session);
                    self.must(first == session, || {
                        format!("token {token} was granted to {first} and to {session}")
                    });
                }
            }
            ("client", "granted") => self.on_granted(board, number("token"), number("session")),
            ("client", "jeopardy" | "releasing" | "lost") if self.holder == Some(board) => self.holder = None,
            ("client", "regained") => self.on_regained(board, number("token")),
            ("resource", "used") => {
                let (token, highest) = (number("with"), self.highest_used);
                self.must(token >= highest, || {
                    format!("a use with token {token} was accepted after {highest}")
                });
                self.highest_used = highest.max(token);
            }
            (_, "panicked" | "crashed") => self.broken.push(format!("{kind} {id}: {report:?}")),
            _ => {}
        }
    }

    fn on_leader(&mut self, id: u64, term: u64) {
        let first = *self.leaders.entry(term).or_insert(id);
        self.must(first == id, || format!("term {term} has two leaders: {first} and {id}"));
    }

    fn on_granted(&mut self, board: usize, token: u64, session: u64) {
        let (holder, highest) = (self.holder, self.highest_granted);
        self.must(holder.is_none_or(|holder| holder == board), || {
            format!("token {token} was granted while another client held the lock")
        });
        self.must(token > highest, || format!("token {token} was granted after {highest}"));
        let known = self.grants.get(&token).copied();
        self.must(known.is_none_or(|known| known == session), || {
            format!("token {token} is that of session {known:?}, and a client with session {session} has it")
        });
        self.acknowledged.insert(token, session);
        self.highest_granted = highest.max(token);
        self.holder = Some(board);
    }

    /// A renewal was answered after the lease was over: the session had not ended.
    fn on_regained(&mut self, board: usize, token: u64) {
        let (holder, highest) = (self.holder, self.highest_granted);
        self.must(holder.is_none() && token == highest, || {
            format!("token {token} was said to be good again after {highest} was granted")
        });
        self.holder = Some(board);
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is broken after boards said this: two nodes, two clients and a resource, by their place.
    fn broken(lines: &[(usize, &str)]) -> usize {
        let mut watch = Watch::default();
        let kinds = [Kind::Node, Kind::Node, Kind::Client, Kind::Client, Kind::Resource];
        kinds.iter().zip(1..).for_each(|(&kind, id)| watch.add(kind, id));
        for &(board, line) in lines {
            watch.take(Duration::ZERO, board, Report::parse(line).expect("a line"));
        }
        watch.broken.len()
    }

    #[test]
    fn a_term_has_one_leader() {
        assert_eq!(broken(&[(0, "leader term=1"), (1, "leader term=2"), (0, "leader term=3")]), 0);
        assert_eq!(broken(&[(0, "leader term=1"), (1, "leader term=1")]), 1);
    }

    #[test]
    fn a_grant_is_one_session_s() {
        assert_eq!(broken(&[(0, "holder token=5 holder=3"), (1, "holder token=5 holder=3")]), 0);
        assert_eq!(broken(&[(0, "holder token=5 holder=3"), (1, "holder token=5 holder=4")]), 1);
        assert_eq!(broken(&[(0, "holder token=5 holder=3"), (2, "granted token=5 session=4")]), 1);
    }

    #[test]
    fn one_client_holds_at_a_time_with_a_higher_token_each_time() {
        let first = (2, "granted token=5 session=3");
        let second = (3, "granted token=7 session=4");
        assert_eq!(broken(&[first, (2, "releasing token=5"), second]), 0);
        assert_eq!(broken(&[first, (2, "jeopardy token=5"), second]), 0);
        assert_eq!(broken(&[first, second]), 1);
        assert_eq!(broken(&[first, (2, "lost"), (3, "granted token=4 session=4")]), 1);
        assert_eq!(broken(&[first, (2, "jeopardy token=5"), (2, "regained token=5")]), 0);
        assert_eq!(broken(&[first, (2, "jeopardy token=5"), second, (2, "regained token=5")]), 1);
    }

    #[test]
    fn a_resource_lets_no_lower_token_through() {
        assert_eq!(broken(&[(4, "used with=5"), (4, "used with=5"), (4, "refused with=4")]), 0);
        assert_eq!(broken(&[(4, "used with=5"), (4, "used with=4")]), 1);
    }

    #[test]
    fn a_panic_is_no_way_to_stop() {
        assert_eq!(broken(&[(0, "stopped status=5"), (1, "panicked file=x line=1")]), 1);
    }
}
