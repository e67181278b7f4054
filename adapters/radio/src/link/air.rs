//! When to send: one frame at a time, after a wait at random, within the share of the air.

use super::config::{Backoff, Duty, LinkConfig, micros, short_micros};
use quorate::Rng;

/// The largest exponent of a wait.
pub(crate) const MOST_EXPONENT: u8 = 16;

/// Whose turn it is on the air. Times are microseconds.
pub(crate) struct Air {
    rng: Rng,
    slot: u32,
    shortest: u8,
    longest: u8,
    /// The exponent of the next wait.
    exponent: u8,
    /// Not before this.
    next: u64,
    budget: Budget,
}

impl Air {
    pub fn new(config: &LinkConfig, seed: u64) -> Self {
        let Backoff { slot, shortest, longest } = config.backoff;
        let budget = Budget::new(config.duty);
        Self {
            rng: Rng::new(seed),
            slot: short_micros(slot),
            shortest,
            longest,
            exponent: shortest,
            next: 0,
            budget,
        }
    }

    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Something waits, and nothing did before.
    pub fn on_first(&mut self, now: u64) {
        self.next = self.next.max(now.saturating_add(self.wait()));
    }

    /// Whether a frame of at most so much airtime may be sent now; otherwise it may be tried when `next` says.
    pub fn may_send(&mut self, now: u64, longest: u32) -> bool {
        let earliest = self.budget.earliest(longest);
        if earliest > now {
            self.next = earliest;
        }
        earliest <= now
    }

    /// A frame goes out, `rest` is the radio's turnaround after it.
    pub fn on_sent(&mut self, now: u64, airtime: u32, rest: u32) {
        self.budget.spend(now, airtime);
        self.exponent = self.shortest;
        // At least a microsecond, so that time passes even on a radio that costs nothing.
        let busy = u64::from(airtime.max(1)) + u64::from(rest);
        self.next = now.saturating_add(busy + self.wait());
    }

    /// Somebody else is on the air, or the radio failed.
    pub fn on_busy(&mut self, now: u64) {
        self.exponent = self.exponent.saturating_add(1).min(self.longest);
        let slot = u64::from(self.slot.max(1));
        self.next = now.saturating_add(slot + self.wait());
    }

    /// Less than 2^48: exponents are seen to be small.
    #[inline(never)] // It is called from three places, and multiplies words that small chips have to put together.
    fn wait(&mut self) -> u64 {
        self.rng.below(u64::from(self.slot) << self.exponent.min(MOST_EXPONENT))
    }
}

/// The share of the air that is left: a bucket of an eighth of what a period allows, that fills up at 8/9 of the
/// average rate. A full bucket and what flows into it in a period are all that the period allows, however it lies.
///
/// Kept as the time when the bucket will be full again (the generic cell rate algorithm, ITU-T I.371), which takes
/// one number, and no division.
struct Budget {
    /// How long a microsecond on the air takes to flow back, in 256ths of a microsecond; 0 is no limit.
    cost: u32,
    /// How long an empty bucket takes to fill.
    depth: u64,
    /// When the bucket is full.
    full: u64,
}

impl Budget {
    fn new(duty: Duty) -> Self {
        Self { cost: cost(duty), depth: depth(duty), full: 0 }
    }

    fn earliest(&self, airtime: u32) -> u64 {
        self.full.saturating_add(returns(airtime, self.cost)).saturating_sub(self.depth)
    }

    fn spend(&mut self, now: u64, airtime: u32) {
        self.full = self.full.max(now).saturating_add(returns(airtime, self.cost));
    }
}

/// How long so much airtime takes to flow back, rounded up.
const fn returns(airtime: u32, cost: u32) -> u64 {
    let returns = airtime as u64 * cost as u64;
    (returns >> 8) + (returns & 0xFF != 0) as u64
}

/// Whether the bucket holds a frame of so many microseconds.
pub(crate) fn holds(duty: Duty, airtime: u32) -> bool {
    returns(airtime, cost(duty)) <= depth(duty)
}

fn cost(duty: Duty) -> u32 {
    match duty.permille {
        // 256 x 1000 x 9/8
        share @ 1..1000 => 288_000_u32.div_ceil(share.into()),
        _ => 0,
    }
}

fn depth(duty: Duty) -> u64 {
    micros(duty.period) >> 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phy;
    use core::time::Duration;
    use quickcheck::quickcheck;
    use quorate::{ClusterId, NodeId};
    use std::vec::Vec;

    fn air(duty: Duty) -> Air {
        let mut config = LinkConfig::new(ClusterId::new(1), NodeId::new(1), 1, Phy::SUB_GHZ_50K);
        config.duty = duty;
        Air::new(&config, 7)
    }

    #[test]
    fn no_period_sees_more_than_its_share() {
        fn property(seed: u64, permille: u16, period: u16, idle: Vec<u16>) -> bool {
            let duty = Duty {
                permille: permille % 999 + 1,
                period: Duration::from_millis(u64::from(period) + 60_000),
            };
            let mut air = air(duty);
            let (mut rng, mut now) = (Rng::new(seed), 0);
            let mut sent = Vec::new();
            for pause in idle.iter().copied().chain(core::iter::repeat_n(0, 200)) {
                now = (now + u64::from(pause) * 1_000).max(air.next());
                let airtime = rng.below(5_000) as u32 + 1;
                if air.may_send(now, 5_000) {
                    air.on_sent(now, airtime, 0);
                    sent.push((now, u64::from(airtime)));
                }
            }
            let period = micros(duty.period);
            let allowed = period * u64::from(duty.permille) / 1000;
            sent.iter().all(|&(start, _)| {
                let within = sent.iter().filter(|&&(at, _)| at >= start && at < start + period);
                within.map(|&(_, airtime)| airtime).sum::<u64>() <= allowed
            })
        }
        quickcheck(property as fn(u64, u16, u16, Vec<u16>) -> bool);
    }

    #[test]
    fn what_is_over_the_share_waits_until_it_has_flown_back() {
        let mut air = air(Duty { permille: 10, period: Duration::from_secs(3600) });
        let (mut now, mut airtime) = (0, 0);
        while air.may_send(now, 10_000) {
            air.on_sent(now, 10_000, 0);
            airtime += 10_000;
            now = air.next();
        }
        // An eighth of 36 s, all but, at once.
        assert!((3_900_000..=4_500_000).contains(&airtime), "{airtime}");
        assert!(air.next() > now && air.next() < now + 2_000_000, "{}", air.next() - now);
        assert!(air.may_send(air.next(), 10_000));
    }

    #[test]
    fn waits_grow_while_the_air_is_busy_and_no_further_than_said() {
        let mut air = air(Duty::UNLIMITED);
        let slot = u64::from(air.slot);
        let mut longest = 0;
        for _ in 0..200 {
            air.on_busy(0);
            longest = longest.max(air.next());
            assert!(air.next() <= slot * 129 && air.next() >= slot);
        }
        assert!(longest > slot * 64, "{longest}");
        air.on_sent(0, 1_000, 500);
        assert!((1_500..1_500 + slot * 8).contains(&air.next()));
    }

    #[test]
    fn two_nodes_that_heard_the_same_seldom_wait_the_same() {
        let config = LinkConfig::new(ClusterId::new(1), NodeId::new(1), 1, Phy::IEEE_802_15_4);
        let collides = |seed| {
            let waits = [seed, seed + 1].map(|seed| {
                let mut air = Air::new(&config, seed);
                air.on_first(0);
                air.next()
            });
            waits[0].abs_diff(waits[1]) < 320
        };
        let collisions = (0..1000).filter(|&seed| collides(seed)).count();
        assert!(collisions < 300, "{collisions}"); // of 8 slots, the same one or a part of its neighbours
    }
}
