//! A shared radio channel in virtual time.

use quorate::{Instant, Rng};
use std::collections::BTreeMap;
use std::time::Duration;

/// A place on the air, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Station(u8);

impl Station {
    /// Stations on one air: a set of them is a `u64`.
    pub const MOST: usize = 64;

    /// The station of a number, if it is less than [`MOST`](Self::MOST).
    #[must_use]
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|&number| usize::from(number) < Self::MOST).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// What the air does to frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// How fast bits go.
    pub bits_per_second: u32,
    /// What goes before each frame, in bytes.
    pub preamble: u32,
    /// How long a frame is on the air before others hear it: two that begin within this time collide.
    pub deaf: Duration,
    /// The share of frames that a receiver loses, each receiver on its own: 0 to 1.
    pub loss: f64,
    /// The share of frames of which a receiver gets some bits wrong: 0 to 1.
    pub corruption: f64,
    /// The most that a frame is late, beyond its airtime.
    pub delay: Duration,
    /// The longest frame, in bytes. A longer one takes its airtime and reaches nobody.
    pub mtu: usize,
}

impl Default for Conditions {
    /// IEEE 802.15.4 at 2.4 GHz, without loss: 250 kbit/s, 6 bytes before each frame, 192 µs to turn around.
    fn default() -> Self {
        Self {
            bits_per_second: 250_000,
            preamble: 6,
            deaf: Duration::from_micros(192),
            loss: 0.0,
            corruption: 0.0,
            delay: Duration::ZERO,
            mtu: 127,
        }
    }
}

impl Conditions {
    /// How long a frame of so many bytes is on the air.
    #[must_use]
    pub fn airtime(&self, bytes: usize) -> Duration {
        let bits = (bytes as u64 + u64::from(self.preamble)) * 8;
        Duration::from_micros((bits * 1_000_000).div_ceil(u64::from(self.bits_per_second.max(1))))
    }
}

/// What became of frames, counted at each that might have received them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that were sent.
    pub sent: u64,
    /// Their time on the air, in microseconds.
    pub airtime_micros: u64,
    /// Arrived, whole or not.
    pub arrived: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because another was on the air, or because the receiver was sending.
    pub collided: u64,
    /// Lost to a jammer.
    pub jammed: u64,
    /// Not heard: in another partition.
    pub apart: u64,
    /// Arrived with wrong bits.
    pub corrupted: u64,
    /// Longer than fits.
    pub oversized: u64,
}

/// A frame that a station receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Who sent it.
    pub from: Station,
    /// Who receives it.
    pub to: Station,
    /// Its bytes, maybe not those that were sent.
    pub frame: Vec<u8>,
}

/// Somebody is on the air: try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnAir;

/// A frame on its way.
#[derive(Debug)]
struct Flight {
    from: Station,
    start: Instant,
    end: Instant,
    frame: Vec<u8>,
    /// Who hears the sender.
    heard_by: u64,
    /// Who cannot make it out: something else was heard at the same time.
    spoiled: u64,
    /// Who was jammed meanwhile; all, if the sender was.
    jammed: u64,
}

/// A shared channel. A station hears those of its own partition, and nothing while it sends or is jammed.
#[derive(Debug)]
pub struct Medium {
    conditions: Conditions,
    rng: Rng,
    now: Instant,
    /// The partition of each station.
    partitions: Vec<u8>,
    jammed: u64,
    flights: Vec<Flight>,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    serial: u64,
    counters: Counters,
}

impl Medium {
    /// An air with `stations` on it, at most [`Station::MOST`].
    #[must_use]
    pub fn new(conditions: Conditions, stations: usize, seed: u64) -> Self {
        assert!(stations <= Station::MOST, "a set of stations is a u64");
        Self {
            conditions,
            rng: Rng::new(seed ^ 0xA1),
            now: Instant::default(),
            partitions: vec![0; stations],
            jammed: 0,
            flights: Vec::new(),
            arrivals: BTreeMap::new(),
            serial: 0,
            counters: Counters::default(),
        }
    }

    /// What the air does to frames from now on.
    pub fn conditions_mut(&mut self) -> &mut Conditions {
        &mut self.conditions
    }

    /// What the air does to frames.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What became of frames so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Begins or ends jamming a station: it receives nothing, nothing of it is received, and the air never seems
    /// free to it.
    pub fn jam(&mut self, station: Station, jammed: bool) {
        if !jammed {
            self.jammed &= !station.bit();
            return;
        }
        self.jammed |= station.bit();
        for flight in &mut self.flights {
            flight.jammed |= if flight.from == station { u64::MAX } else { station.bit() };
        }
    }

    /// Whether a station is jammed.
    #[must_use]
    pub fn is_jammed(&self, station: Station) -> bool {
        self.jammed & station.bit() != 0
    }

    /// Puts a station into a partition; all begin in partition 0. Frames on their way are not affected.
    pub fn part(&mut self, station: Station, partition: u8) {
        if let Some(of) = self.partitions.get_mut(station.number()) {
            *of = partition;
        }
    }

    /// Whether a station finds the air free.
    #[must_use]
    pub fn is_free(&self, now: Instant, station: Station) -> bool {
        let heard = |flight: &Flight| {
            flight.from == station
                || flight.heard_by & station.bit() != 0 && flight.start.after(self.conditions.deaf) <= now
        };
        !self.is_jammed(station) && !self.flights.iter().any(|flight| flight.end > now && heard(flight))
    }

    /// Sends a frame to all who hear the station, and tells when its airtime is over.
    ///
    /// # Errors
    /// The station hears another, sends already, or is jammed.
    pub fn send(&mut self, now: Instant, from: Station, frame: &[u8]) -> Result<Instant, OnAir> {
        self.now = self.now.max(now);
        if !self.is_free(self.now, from) {
            return Err(OnAir);
        }
        let airtime = self.conditions.airtime(frame.len());
        let heard_by = self.hearers(from);
        let mut flight = Flight {
            from,
            start: self.now,
            end: self.now.after(airtime),
            frame: frame.to_vec(),
            heard_by,
            spoiled: 0,
            jammed: self.jammed,
        };
        for other in self.flights.iter_mut().filter(|other| other.end > flight.start) {
            // Who hears both makes out neither; who sends hears nothing.
            let both = other.heard_by & heard_by;
            other.spoiled |= both | from.bit();
            flight.spoiled |= both | other.from.bit();
        }
        self.counters.sent += 1;
        self.counters.airtime_micros += airtime.as_micros() as u64;
        let end = flight.end;
        self.flights.push(flight);
        Ok(end)
    }

    /// When [`arrival`](Self::arrival) next has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let landing = self.flights.iter().map(|flight| flight.end).min();
        let arriving = self.arrivals.keys().next().map(|&(at, _)| at);
        landing.into_iter().chain(arriving).min()
    }

    /// The next frame that a station has received by `now`.
    pub fn arrival(&mut self, now: Instant) -> Option<Arrival> {
        self.now = self.now.max(now);
        while let Some(at) = self.landed() {
            let flight = self.flights.remove(at);
            self.land(&flight);
        }
        let (&(at, _), _) = self.arrivals.first_key_value()?;
        if at <= self.now { self.arrivals.pop_first().map(|(_, arrival)| arrival) } else { None }
    }

    /// The flight that ended first of those that ended.
    fn landed(&self) -> Option<usize> {
        let over = self.flights.iter().enumerate().filter(|(_, flight)| flight.end <= self.now);
        over.min_by_key(|(_, flight)| (flight.end, flight.from)).map(|(at, _)| at)
    }

    /// Decides for each who hears a frame what it gets of it.
    fn land(&mut self, flight: &Flight) {
        if flight.frame.len() > self.conditions.mtu {
            self.counters.oversized += 1;
            return;
        }
        for to in (0..self.partitions.len()).filter_map(Station::new).filter(|&to| to != flight.from) {
            let bit = to.bit();
            if flight.heard_by & bit == 0 {
                self.counters.apart += 1;
            } else if flight.jammed & bit != 0 {
                self.counters.jammed += 1;
            } else if flight.spoiled & bit != 0 {
                self.counters.collided += 1;
            } else if self.chance(self.conditions.loss) {
                self.counters.lost += 1;
            } else {
                self.arrive(flight, to);
            }
        }
    }

    fn arrive(&mut self, flight: &Flight, to: Station) {
        let mut frame = flight.frame.clone();
        if !frame.is_empty() && self.chance(self.conditions.corruption) {
            self.counters.corrupted += 1;
            for _ in 0..=self.rng.below(3) {
                let bit = self.rng.below(frame.len() as u64 * 8) as usize;
                frame[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let late = self.rng.below(self.conditions.delay.as_micros() as u64 + 1);
        let at = flight.end.after(Duration::from_micros(late));
        self.counters.arrived += 1;
        self.serial += 1;
        self.arrivals.insert((at, self.serial), Arrival { at, from: flight.from, to, frame });
    }

    fn hearers(&self, from: Station) -> u64 {
        let partition = self.partitions.get(from.number());
        let stations = (0..self.partitions.len()).filter_map(Station::new);
        stations
            .filter(|&to| to != from && self.partitions.get(to.number()) == partition)
            .fold(0, |set, to| set | to.bit())
    }

    /// Whether what happens to a share of all happens now.
    fn chance(&mut self, share: f64) -> bool {
        /// A number of 53 bits fits a float.
        const WHOLE: u64 = 1 << 53;
        share > 0.0 && (self.rng.below(WHOLE) as f64) < share * WHOLE as f64
    }
}

#[cfg(test)]
mod tests;
