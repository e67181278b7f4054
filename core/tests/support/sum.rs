//! An application to replicate.

use quorate::codec::{self, Full, Malformed, Sink};
use quorate::{Application, Command, Moment, Timestamp};
use std::time::Duration;

/// Adds numbers up, and may wait for a moment.
#[derive(Debug, Default)]
pub struct Sum {
    pub total: u64,
    alarm: Option<Timestamp>,
    rung: Option<Timestamp>,
}

/// What may be asked of it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Ask {
    Add(u64),
    Alarm(Duration),
}
impl Command for Ask {}

impl Application for Sum {
    type Command = Ask;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    type Notice = Timestamp;

    fn tick(&mut self, now: Moment) {
        if self.alarm.is_some_and(|alarm| alarm <= now.time) {
            self.rung = self.alarm.take();
        }
    }

    fn apply(&mut self, now: Moment, command: &Ask) -> u64 {
        match command {
            Ask::Add(number) => self.total += number,
            Ask::Alarm(span) => self.alarm = Some(now.time.after(*span)),
        }
        self.total
    }

    fn notice(&mut self) -> Option<Timestamp> {
        self.rung.take()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.alarm
    }

    fn query(&self, _now: Timestamp, (): &()) -> u64 {
        self.total
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        codec::put(&(self.total, self.alarm), sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        (self.total, self.alarm) = codec::take_all(bytes)?;
        self.rung = None;
        Ok(())
    }
}
