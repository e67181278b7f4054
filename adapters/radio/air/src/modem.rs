//! What stands between the air and a board that hands over frames through a serial line.

use crate::medium::{Medium, Station};
use quorate::{Instant, Rng};
use std::collections::VecDeque;
use std::time::Duration;

/// Frames that wait for the air; more are dropped, the oldest first: the newest says more.
const WAITING: usize = 16;
/// Tries to find the air free before a frame is given up (802.15.4: macMaxCSMABackoffs, with some patience more).
const TRIES: u32 = 8;
/// The unit in which one waits before a try (802.15.4: 20 symbols).
const SLOT: Duration = Duration::from_micros(320);
/// The first wait is below two to the power of this many slots, the longest below two to the power of `LONGEST`.
const SHORTEST: u32 = 3;
const LONGEST: u32 = 6;

/// Waits for the air to be free as 802.15.4 does (CSMA/CA without slots), and queues what comes meanwhile.
#[derive(Debug)]
pub struct Modem {
    station: Station,
    rng: Rng,
    waiting: VecDeque<Vec<u8>>,
    tries: u32,
    next: Instant,
    dropped: u64,
}

impl Modem {
    /// The modem of a station.
    #[must_use]
    pub fn new(station: Station, seed: u64) -> Self {
        let rng = Rng::new(seed ^ (station.number() as u64 + 1) << 32);
        Self { station, rng, waiting: VecDeque::new(), tries: 0, next: Instant::default(), dropped: 0 }
    }

    /// Takes a frame for the air.
    pub fn push(&mut self, now: Instant, frame: Vec<u8>) {
        if self.waiting.len() >= WAITING {
            self.give_up(now);
        }
        if self.waiting.is_empty() {
            self.back_off(now);
        }
        self.waiting.push_back(frame);
    }

    /// Sends what may be sent now.
    pub fn run(&mut self, now: Instant, medium: &mut Medium) {
        let Some(frame) = self.waiting.front() else { return };
        if self.next > now {
            return;
        }
        if let Ok(end) = medium.send(now, self.station, frame) {
            self.waiting.pop_front();
            self.tries = 0;
            self.back_off(end);
            return;
        }
        self.tries += 1;
        if self.tries >= TRIES {
            self.give_up(now);
        } else {
            self.back_off(now);
        }
    }

    /// When there is next something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.front().map(|_| self.next)
    }

    /// Forgets all: the board was switched off.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.tries = 0;
    }

    /// Frames that did not find the air free, or had to make room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn give_up(&mut self, now: Instant) {
        self.waiting.pop_front();
        self.dropped += 1;
        self.tries = 0;
        self.back_off(now);
    }

    fn back_off(&mut self, now: Instant) {
        let slots = 1 + self.rng.below(1 << (SHORTEST + self.tries).min(LONGEST));
        self.next = now.after(Duration::from_micros(SLOT.as_micros() as u64 * slots));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conditions;

    #[test]
    fn two_that_talk_at_once_both_get_through() {
        let stations = [0, 1, 2].map(|number| Station::new(number).expect("few"));
        let mut medium = Medium::new(Conditions::default(), 3, 1);
        let mut modems = [Modem::new(stations[0], 1), Modem::new(stations[1], 1)];
        for modem in &mut modems {
            (0..10).for_each(|number| modem.push(Instant::default(), vec![number; 50]));
        }
        let mut heard = 0;
        for micros in (0..200_000).step_by(10) {
            let now = Instant::from_micros(micros);
            modems.iter_mut().for_each(|modem| modem.run(now, &mut medium));
            while let Some(arrival) = medium.arrival(now) {
                heard += usize::from(arrival.to == stations[2]);
            }
        }
        let dropped: u64 = modems.iter().map(Modem::dropped).sum();
        assert!(heard >= 18 && dropped == 0, "{heard} heard, {dropped} dropped");
    }

    #[test]
    fn a_jammed_modem_gives_frames_up_and_goes_on_when_the_air_clears() {
        let station = Station::new(0).expect("few");
        let mut medium = Medium::new(Conditions::default(), 2, 1);
        let mut modem = Modem::new(station, 1);
        medium.jam(station, true);
        for millis in 0..1_000 {
            let now = Instant::from_micros(millis * 1_000);
            modem.push(now, vec![1]);
            modem.run(now, &mut medium);
        }
        assert!(modem.dropped() > 100 && medium.counters().sent == 0);
        medium.jam(station, false);
        for millis in 1_000..1_100 {
            modem.run(Instant::from_micros(millis * 1_000), &mut medium);
        }
        assert_eq!(medium.counters().sent, 16, "what still waited");
    }
}
