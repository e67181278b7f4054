//! Radios of one process on one air.

use crate::medium::{Arrival, Medium, Station};
use quorate::Instant;
use quorate_radio::{Radio, SendError};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

/// Frames that wait in a receiver; more are dropped, as a chip does.
const RECEIVED: usize = 8;

/// A medium that several nodes of one thread share, and its time.
#[derive(Clone, Debug)]
pub struct Air(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    medium: Medium,
    now: Instant,
    received: Vec<VecDeque<Vec<u8>>>,
    overrun: u64,
}

impl Air {
    /// An air over a medium of so many stations.
    #[must_use]
    pub fn new(medium: Medium, stations: usize) -> Self {
        let received = vec![VecDeque::new(); stations];
        Self(Rc::new(RefCell::new(Shared { medium, now: Instant::default(), received, overrun: 0 })))
    }

    /// The radio of a station. There should be one.
    #[must_use]
    pub fn antenna(&self, station: Station) -> Antenna {
        Antenna { air: self.clone(), station }
    }

    /// Looks at the medium, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut Medium) -> T) -> T {
        look(&mut self.0.borrow_mut().medium)
    }

    /// Lets time pass, hands frames to the receivers of those who hear them, and shows each.
    pub fn advance(&self, now: Instant, mut show: impl FnMut(&Arrival)) {
        let shared = &mut *self.0.borrow_mut();
        shared.now = shared.now.max(now);
        // Bounded: what is on the air was sent before.
        while let Some(arrival) = shared.medium.arrival(shared.now) {
            show(&arrival);
            match shared.received.get_mut(arrival.to.number()) {
                Some(waiting) if waiting.len() < RECEIVED => waiting.push_back(arrival.frame),
                _ => shared.overrun += 1,
            }
        }
    }

    /// When a frame next arrives somewhere.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.borrow().medium.deadline()
    }

    /// Whether frames wait in the receiver of a station.
    #[must_use]
    pub fn has_received(&self, station: Station) -> bool {
        self.0.borrow().received.get(station.number()).is_some_and(|waiting| !waiting.is_empty())
    }

    /// Forgets what waits in the receiver of a station: its board was switched off.
    pub fn clear(&self, station: Station) {
        if let Some(waiting) = self.0.borrow_mut().received.get_mut(station.number()) {
            waiting.clear();
        }
    }

    /// Frames that were dropped because a receiver was full.
    #[must_use]
    pub fn overrun(&self) -> u64 {
        self.0.borrow().overrun
    }
}

/// A station's radio.
#[derive(Clone, Debug)]
pub struct Antenna {
    air: Air,
    station: Station,
}

impl Radio for Antenna {
    type Error = Infallible;

    fn mtu(&self) -> usize {
        self.air.0.borrow().medium.conditions().mtu
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<Infallible>> {
        let shared = &mut *self.air.0.borrow_mut();
        let sent = shared.medium.send(shared.now, self.station, frame);
        sent.map(drop).map_err(|_| SendError::Busy)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let shared = &mut *self.air.0.borrow_mut();
        let Some(waiting) = shared.received.get_mut(self.station.number()) else { return Ok(None) };
        while let Some(frame) = waiting.pop_front() {
            if let Some(place) = buffer.get_mut(..frame.len()) {
                place.copy_from_slice(&frame);
                return Ok(Some(frame.len()));
            }
        }
        Ok(None)
    }
}
