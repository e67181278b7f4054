//! Tokens, holders and lines, over all that any node told and all states that any replica had.

use crate::subject::{Check, holds};
use quorate::Index;
use quorate::lock::{Owner, SessionId, Token};
use std::collections::BTreeMap;

/// As many waits are remembered for each lock, and as many states.
const WAITS: usize = 64;
const STATES: usize = 1_000;

/// What is known of one lock.
#[derive(Debug, Default)]
struct Lock {
    /// Whom each token was given to.
    tokens: BTreeMap<Token, SessionId>,
    /// Who came into line with which entry, and with which token the wait ended.
    waits: BTreeMap<Index, (SessionId, Option<Token>)>,
    /// The highest token that the resource behind the lock has seen.
    seen: Option<Token>,
}

/// What is known of all locks, by their number.
#[derive(Debug, Default)]
pub(super) struct Grants {
    locks: Vec<Lock>,
    /// Who owned each lock once the entries up to there were applied, as the first replica told that had come there.
    owners: BTreeMap<Index, Vec<Option<Owner>>>,
}

impl Grants {
    pub(super) fn of(locks: usize) -> Self {
        Self { locks: (0..locks).map(|_| Lock::default()).collect(), owners: BTreeMap::new() }
    }

    /// The highest token that is known to be given.
    pub(super) fn highest(&self, lock: usize) -> Option<Token> {
        self.locks[lock].tokens.last_key_value().map(|(token, _)| *token)
    }

    /// A session was granted a lock.
    pub(super) fn granted(&mut self, lock: usize, session: SessionId, token: Token) -> Check {
        let lock = &mut self.locks[lock];
        let holder = *lock.tokens.entry(token).or_insert(session);
        holds(holder == session, "a token is given once", || {
            format!("{token:?} to {session:?} and to {holder:?}")
        })?;
        let entry = Index::new(token.get());
        let mut earlier = lock.waits.range_mut(..entry).rev();
        let wait = earlier.find(|(_, (who, end))| *who == session && end.is_none_or(|end| end == token));
        let Some((&since, (_, end))) = wait else { return Ok(()) };
        *end = Some(token);
        lock.check_line(since, token)
    }

    /// A session came into line with this entry.
    pub(super) fn queued(&mut self, lock: usize, session: SessionId, entry: Index) {
        let waits = &mut self.locks[lock].waits;
        waits.entry(entry).or_insert((session, None));
        if waits.len() > WAITS {
            waits.pop_first();
        }
    }

    /// What the lock protects is touched. Tells whether the token is let through.
    pub(super) fn touch(&mut self, lock: usize, token: Token) -> bool {
        let seen = &mut self.locks[lock].seen;
        let passes = *seen <= Some(token);
        *seen = (*seen).max(Some(token));
        passes
    }

    /// Who owns the locks once the entries up to `applied` are in a replica's state: the same as in all others that
    /// came there, and with no token lower than one before.
    pub(super) fn on_state(&mut self, applied: Index, owners: Vec<Option<Owner>>) -> Check {
        if let Some(known) = self.owners.get(&applied) {
            return holds(*known == owners, "replicas that applied the same are the same", || {
                format!("after {applied}: {owners:?} and {known:?}")
            });
        }
        let before = self.owners.range(..applied).next_back().map(|(_, before)| (before, &owners));
        let after = self.owners.range(applied..).next().map(|(_, after)| (&owners, after));
        for (earlier, later) in [before, after].into_iter().flatten() {
            let rise = earlier.iter().zip(later).all(|(earlier, later)| follows(*earlier, *later));
            holds(rise, "the tokens of a lock only rise", || format!("{earlier:?}, then {later:?}"))?;
        }
        self.owners.insert(applied, owners);
        if self.owners.len() > STATES {
            self.owners.pop_first();
        }
        Ok(())
    }
}

fn follows(earlier: Option<Owner>, later: Option<Owner>) -> bool {
    let (Some(earlier), Some(later)) = (earlier, later) else { return true };
    later.token > earlier.token || later == earlier
}

impl Lock {
    /// First come, first granted: of two waits that ended in a grant, the one that began first ended first.
    fn check_line(&self, since: Index, token: Token) -> Check {
        let overtakes = |(&other, &(_, end)): (&Index, &(SessionId, Option<Token>))| {
            other != since && end.is_some_and(|end| (other < since) != (end < token))
        };
        holds(!self.waits.iter().any(overtakes), "first come, first granted", || {
            format!("{token:?} was granted to who waits since {since}: {:?}", self.waits)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_granted_out_of_turn_is_found_out() {
        let mut grants = Grants::of(1);
        let [ann, bob] = [1, 2].map(SessionId::new);
        grants.queued(0, ann, Index::new(10));
        grants.queued(0, bob, Index::new(11));
        assert_eq!(grants.granted(0, bob, Token::new(12)), Ok(()));
        assert!(grants.granted(0, ann, Token::new(13)).is_err());
    }

    #[test]
    fn a_token_that_is_given_twice_or_falls_is_found_out() {
        let mut grants = Grants::of(1);
        let [ann, bob] = [1, 2].map(SessionId::new);
        assert_eq!(grants.granted(0, ann, Token::new(3)), Ok(()));
        assert!(grants.granted(0, bob, Token::new(3)).is_err());
        let owner = |token| vec![Some(Owner { session: ann, token: Token::new(token) })];
        assert_eq!(grants.on_state(Index::new(9), owner(8)), Ok(()));
        assert!(grants.on_state(Index::new(10), owner(7)).is_err());
        assert!(grants.on_state(Index::new(9), owner(7)).is_err());
    }

    #[test]
    fn a_resource_refuses_a_token_lower_than_one_it_saw() {
        let mut grants = Grants::of(1);
        assert!(grants.touch(0, Token::new(34)));
        assert!(!grants.touch(0, Token::new(33)));
    }
}
