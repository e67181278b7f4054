//! Frames over a serial line: to a modem, or from board to board.
//!
//! Frames are told apart by consistent overhead byte stuffing (Cheshire and Baker, SIGCOMM 1997): no byte of a frame is
//! zero, and a zero is before and after each. So whoever begins to listen in the middle, or hears noise, is back at the
//! next zero.

use crate::{Radio, SendError};
use core::fmt::Debug;

/// A line that bytes go over, and that never waits.
pub trait Port {
    /// What the hardware says when it fails.
    type Error: Debug;

    /// The next byte that came in, if there is one.
    ///
    /// # Errors
    /// The hardware failed. A byte that was overrun or damaged is no failure: leave it out.
    fn read(&mut self) -> Result<Option<u8>, Self::Error>;

    /// Takes a byte to send, or tells with `false` that there is no room for it now.
    ///
    /// # Errors
    /// The hardware failed.
    fn write(&mut self, byte: u8) -> Result<bool, Self::Error>;
}

/// A [`Radio`] over a [`Port`].
///
/// ```
/// use quorate_radio::{Port, Radio, Serial};
/// use std::{collections::VecDeque, convert::Infallible};
///
/// /// What is written can be read.
/// struct Loop(VecDeque<u8>);
///
/// impl Port for Loop {
///     type Error = Infallible;
///     fn read(&mut self) -> Result<Option<u8>, Infallible> { Ok(self.0.pop_front()) }
///     fn write(&mut self, byte: u8) -> Result<bool, Infallible> { self.0.push_back(byte); Ok(true) }
/// }
///
/// let mut line: Serial<Loop> = Serial::new(Loop(VecDeque::new()));
/// line.send(&[1, 0, 2]).expect("nothing is under way");
/// let mut buffer = [0; 127];
/// assert_eq!(line.receive(&mut buffer), Ok(Some(3)));
/// assert_eq!(buffer[..3], [1, 0, 2]);
/// ```
pub struct Serial<P, const FRAME: usize = 127> {
    port: P,
    stuffer: Stuffer<FRAME>,
    unstuffer: Unstuffer<FRAME>,
}

impl<P: Port, const FRAME: usize> Serial<P, FRAME> {
    /// A line on which nothing was heard. What comes before its first zero is dropped: it may be the end of a frame.
    pub const fn new(port: P) -> Self {
        Self { port, stuffer: Stuffer::new(), unstuffer: Unstuffer::new() }
    }

    /// The port.
    pub const fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// How many frames were cut short, damaged or too long.
    pub const fn dropped(&self) -> u32 {
        self.unstuffer.dropped
    }

    /// Gives the port what it has room for; returns whether the last frame is with it, whole. `send` and `receive` do
    /// this too. Call it when there is room again, if the port does not hold a whole frame.
    ///
    /// # Errors
    /// The port failed.
    pub fn pump(&mut self) -> Result<bool, P::Error> {
        for _ in 0..=FRAME.saturating_mul(2) {
            let Some(byte) = self.stuffer.peek() else { return Ok(true) };
            if !self.port.write(byte)? {
                return Ok(false);
            }
            self.stuffer.advance();
        }
        Ok(false)
    }
}

impl<P: Port, const FRAME: usize> Radio for Serial<P, FRAME> {
    type Error = P::Error;

    fn mtu(&self) -> usize {
        FRAME
    }

    /// Sends a frame. One that is too long is dropped.
    fn send(&mut self, frame: &[u8]) -> Result<(), SendError<P::Error>> {
        if !self.pump().map_err(SendError::Failed)? {
            return Err(SendError::Busy);
        }
        self.stuffer.begin(frame);
        self.pump().map_err(SendError::Failed)?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, P::Error> {
        self.pump()?;
        // What a line brings faster than this is taken in by the next call.
        for _ in 0..FRAME.saturating_mul(4) {
            let Some(byte) = self.port.read()? else { return Ok(None) };
            let Some(frame) = self.unstuffer.take(byte) else { continue };
            if let Some(place) = buffer.get_mut(..frame.len()) {
                place.copy_from_slice(frame);
                return Ok(Some(frame.len()));
            }
            self.unstuffer.dropped = self.unstuffer.dropped.saturating_add(1);
        }
        Ok(None)
    }
}

/// The longest block without a zero.
const BLOCK: u8 = 254;

/// A frame on its way out, byte by byte.
struct Stuffer<const FRAME: usize> {
    frame: heapless::Vec<u8, FRAME>,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    /// Nothing is under way.
    Nothing,
    /// The zero before the frame.
    Start,
    /// How long the block is that begins here.
    Length(usize),
    /// A byte of a block, of which so many are left.
    Byte { at: usize, left: u8, zero: bool },
    /// The zero after the frame.
    End,
}

impl<const FRAME: usize> Stuffer<FRAME> {
    const fn new() -> Self {
        Self { frame: heapless::Vec::new(), next: Next::Nothing }
    }

    fn begin(&mut self, frame: &[u8]) {
        self.frame.clear();
        let fits = self.frame.extend_from_slice(frame).is_ok();
        self.next = if fits { Next::Start } else { Next::Nothing };
    }

    /// How many bytes before a zero, the end, or as many as a block can have; and whether a zero follows, which is
    /// left out.
    fn block(&self, start: usize) -> (u8, bool) {
        let rest = self.frame.get(start..).unwrap_or_default();
        let len = (0..BLOCK).zip(rest).take_while(|&(_, &byte)| byte != 0).count();
        let len = u8::try_from(len).unwrap_or(BLOCK);
        (len, len < BLOCK && rest.len() > usize::from(len))
    }

    fn peek(&self) -> Option<u8> {
        match self.next {
            Next::Nothing => None,
            Next::Start | Next::End => Some(0),
            Next::Length(start) => Some(self.block(start).0.saturating_add(1)),
            Next::Byte { at, .. } => self.frame.get(at).copied(),
        }
    }

    fn advance(&mut self) {
        self.next = match self.next {
            Next::Nothing | Next::End => Next::Nothing,
            Next::Start => Next::Length(0),
            Next::Length(start) => {
                let (left, zero) = self.block(start);
                self.at(start, left, zero)
            }
            Next::Byte { at, left, zero } => self.at(at.saturating_add(1), left.saturating_sub(1), zero),
        };
    }

    fn at(&self, at: usize, left: u8, zero: bool) -> Next {
        if left > 0 {
            Next::Byte { at, left, zero }
        } else if zero {
            Next::Length(at.saturating_add(1))
        } else if at < self.frame.len() {
            Next::Length(at)
        } else {
            Next::End
        }
    }
}

/// A frame on its way in.
struct Unstuffer<const FRAME: usize> {
    frame: heapless::Vec<u8, FRAME>,
    state: State,
    dropped: u32,
}

#[derive(Clone, Copy)]
enum State {
    /// Nothing counts until the next zero.
    Lost,
    /// After a zero.
    Start,
    /// So many bytes of a block are to come, and whether a zero was left out after it, if another block follows.
    Block { left: u8, zero: bool },
}

impl<const FRAME: usize> Unstuffer<FRAME> {
    const fn new() -> Self {
        Self { frame: heapless::Vec::new(), state: State::Lost, dropped: 0 }
    }

    /// Takes a byte in; returns the frame that it ends.
    fn take(&mut self, byte: u8) -> Option<&[u8]> {
        if byte == 0 {
            return self.end();
        }
        let fits = match self.state {
            State::Lost => return None,
            State::Start => {
                self.frame.clear();
                self.block(byte);
                true
            }
            State::Block { left: 0, zero } => {
                let fits = !zero || self.frame.push(0).is_ok();
                self.block(byte);
                fits
            }
            State::Block { left, zero } => {
                self.state = State::Block { left: left.saturating_sub(1), zero };
                self.frame.push(byte).is_ok()
            }
        };
        if !fits {
            self.state = State::Lost;
            self.dropped = self.dropped.saturating_add(1);
        }
        None
    }

    fn block(&mut self, length: u8) {
        self.state = State::Block { left: length.saturating_sub(1), zero: length <= BLOCK };
    }

    fn end(&mut self) -> Option<&[u8]> {
        match core::mem::replace(&mut self.state, State::Start) {
            State::Block { left: 0, .. } => Some(&self.frame),
            State::Block { .. } => {
                self.dropped = self.dropped.saturating_add(1);
                None
            }
            State::Lost | State::Start => None,
        }
    }
}

#[cfg(test)]
mod tests;
