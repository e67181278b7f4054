//! The air between emulated boards, in real time: their serial lines end here.

use super::wire::{Decoder, encode};
use quorate::Instant;
use quorate_air::{Conditions, Medium, Modem, Station};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What a board has on the air.
#[derive(Debug)]
struct Socket {
    modem: Modem,
    decoder: Decoder,
    line: Option<UnixStream>,
    /// Frames that its serial line did not take in time.
    choked: u64,
}

/// The medium, and a modem for each board. Whatever runs late here is carried out in the order in which it was due.
#[derive(Debug)]
pub struct Hub {
    medium: Medium,
    sockets: Vec<Socket>,
    began: std::time::Instant,
    /// Frames heard on the air lately, for those who play them again.
    overheard: Vec<Vec<u8>>,
}

/// How many frames are kept to be played again.
const OVERHEARD: usize = 32;

impl Hub {
    /// An air for so many boards.
    pub fn new(conditions: Conditions, stations: usize, seed: u64) -> Self {
        let socket = |number| {
            let modem = Modem::new(Station::new(number)?, seed);
            Some(Socket { modem, decoder: Decoder::default(), line: None, choked: 0 })
        };
        Self {
            medium: Medium::new(conditions, stations, seed),
            sockets: (0..stations).filter_map(socket).collect(),
            began: std::time::Instant::now(),
            overheard: Vec::new(),
        }
    }

    /// The time on the air.
    pub fn now(&self) -> Instant {
        Instant::from_micros(self.began.elapsed().as_micros() as u64)
    }

    /// The medium.
    pub fn medium(&mut self) -> &mut Medium {
        &mut self.medium
    }

    /// A board's serial line is open.
    pub fn connect(&mut self, station: Station, line: UnixStream) -> std::io::Result<()> {
        line.set_nonblocking(false)?;
        line.set_write_timeout(Some(Duration::from_millis(20)))?;
        if let Some(socket) = self.sockets.get_mut(station.number()) {
            socket.line = Some(line);
            socket.decoder = Decoder::default();
        }
        Ok(())
    }

    /// A board was switched off: what it had not sent is gone.
    pub fn disconnect(&mut self, station: Station) {
        if let Some(socket) = self.sockets.get_mut(station.number()) {
            socket.line = None;
            socket.modem.clear();
        }
    }

    /// A board's serial line says something.
    pub fn take(&mut self, station: Station, bytes: &[u8]) {
        let now = self.now();
        let Some(Socket { decoder, modem, .. }) = self.sockets.get_mut(station.number()) else { return };
        decoder.take(bytes, |frame| modem.push(now, frame));
    }

    /// Puts a frame on the air from a station that has no board.
    pub fn send(&mut self, station: Station, frame: Vec<u8>) {
        let now = self.now();
        if let Some(socket) = self.sockets.get_mut(station.number()) {
            socket.modem.push(now, frame);
        }
    }

    /// Carries out what is due, and tells until when nothing else is.
    pub fn run(&mut self) -> Option<Duration> {
        let now = self.now();
        while let Some(at) = self.deadline().filter(|&at| at <= now) {
            while let Some(arrival) = self.medium.arrival(at) {
                if self.overheard.len() == OVERHEARD {
                    self.overheard.remove(0);
                }
                self.overheard.push(arrival.frame.clone());
                if let Some(socket) = self.sockets.get_mut(arrival.to.number()) {
                    socket.deliver(&arrival.frame);
                }
            }
            for socket in &mut self.sockets {
                socket.modem.run(at, &mut self.medium);
            }
        }
        self.deadline().map(|at| at.since(self.now()))
    }

    /// Frames that were on the air lately.
    pub fn overheard(&self) -> &[Vec<u8>] {
        &self.overheard
    }

    /// Frames that modems or serial lines dropped.
    pub fn dropped(&self) -> u64 {
        self.sockets.iter().map(|socket| socket.choked + socket.modem.dropped()).sum()
    }

    fn deadline(&self) -> Option<Instant> {
        let modems = self.sockets.iter().filter_map(|socket| socket.modem.deadline());
        modems.chain(self.medium.deadline()).min()
    }
}

impl Socket {
    fn deliver(&mut self, frame: &[u8]) {
        let Some(line) = &mut self.line else { return };
        if line.write_all(&encode(frame)).is_err() {
            // It may have taken a part: the rest of the frame is missing, which its checksum tells.
            self.choked += 1;
        }
    }
}
