//! The serial line to the air: received bytes come by interrupt.

use crate::hardware::{Interrupt, Pl011, RUN_CLOCK_1, UART0, UART1, unmask};
use crate::ring::Ring;
use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};
use quorate_radio::Port;

/// A frame, and what comes while flash is written. What does not fit is dropped and counted.
static RECEIVED: Ring<256> = Ring::new();
static OVERRUN: AtomicU32 = AtomicU32::new(0);

const RECEIVER_EMPTY: u32 = 1 << 4;
const SENDER_FULL: u32 = 1 << 5;
const RECEIVED_OR_TIMEOUT: u32 = 1 << 4 | 1 << 6;

/// The serial line to the air.
#[derive(Debug)]
pub struct Line(());

impl Port for Line {
    type Error = Infallible;

    fn read(&mut self) -> Result<Option<u8>, Infallible> {
        Ok(RECEIVED.pop())
    }

    fn write(&mut self, byte: u8) -> Result<bool, Infallible> {
        let has_room = UART0.flags.read() & SENDER_FULL == 0;
        if has_room {
            UART0.data.write(u32::from(byte));
        }
        Ok(has_room)
    }
}

impl Line {
    /// Switches both serial lines on. To be called once.
    #[must_use]
    pub fn open() -> Self {
        RUN_CLOCK_1.write(RUN_CLOCK_1.read() | 0b11);
        for uart in [UART0, UART1] {
            set_up(&uart);
        }
        UART0.mask.write(RECEIVED_OR_TIMEOUT);
        unmask(Interrupt::Uart0);
        Self(())
    }
}

/// Whether bytes wait.
#[must_use]
pub fn has_received() -> bool {
    !RECEIVED.is_empty()
}

/// Bytes that were dropped because nobody took them in time.
#[must_use]
pub fn overrun() -> u32 {
    OVERRUN.load(Ordering::Relaxed)
}

/// Sends a byte to whoever watches.
pub(crate) fn tell(byte: u8) {
    // Ends: the line sends on whatever its other end does.
    while UART1.flags.read() & SENDER_FULL != 0 {}
    UART1.data.write(u32::from(byte));
}

pub(crate) fn on_received() {
    UART0.clear.write(RECEIVED_OR_TIMEOUT);
    // Bounded: a queue of sixteen bytes, and the line is slower than this.
    while UART0.flags.read() & RECEIVER_EMPTY == 0 {
        if !RECEIVED.push(UART0.data.read() as u8) {
            OVERRUN.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// 115,200 baud from 12.5 MHz, eight bits, no parity, with queues.
fn set_up(uart: &Pl011) {
    uart.control.write(0);
    uart.baud_whole.write(6);
    uart.baud_part.write(50);
    uart.line.write(0b11 << 5 | 1 << 4);
    uart.control.write(1 << 9 | 1 << 8 | 1);
}
