//! All that is unsafe: registers of the board, calls to the host that emulates it, interrupt vectors, the stack.
//!
//! | What | Why it is sound |
//! |--|--|
//! | `Register::read`, `write` | The addresses are those below, device registers of the LM3S6965 that are always mapped. |
//! | `call_host` | Each caller passes a block that the host reads within its bounds, as the interface wants it. |
//! | `__INTERRUPTS` | The table has the layout of the chip, and its handlers touch atomics only. |
//! | `HardFault` | The runtime wants it declared so; nothing unsafe is done. |
//! | `unmask` | No critical section relies on a masked interrupt. |
//! | `painted_words` | The words between the end of the statics and the stack pointer belong to the stack, which is painted at boot and read here word by word. |
#![allow(unsafe_code, reason = "each use is in the table above")]

use cortex_m::peripheral::NVIC;
use cortex_m_rt::{ExceptionFrame, exception};

/// A device register.
#[derive(Clone, Copy)]
pub(crate) struct Register(u32);

impl Register {
    pub(crate) fn read(self) -> u32 {
        // SAFETY: an aligned device register, see the table.
        unsafe { core::ptr::read_volatile(self.0 as *const u32) }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: an aligned device register, see the table.
        unsafe { core::ptr::write_volatile(self.0 as *mut u32, value) }
    }

    const fn at(base: u32, offset: u32) -> Self {
        Self(base + offset)
    }
}

/// Which parts of the chip have a clock.
pub(crate) const RUN_CLOCK_1: Register = Register(0x400F_E104);

/// A serial line: PL011.
pub(crate) struct Pl011 {
    pub(crate) data: Register,
    pub(crate) flags: Register,
    pub(crate) baud_whole: Register,
    pub(crate) baud_part: Register,
    pub(crate) line: Register,
    pub(crate) control: Register,
    pub(crate) mask: Register,
    pub(crate) clear: Register,
}

impl Pl011 {
    const fn at(base: u32) -> Self {
        Self {
            data: Register::at(base, 0x00),
            flags: Register::at(base, 0x18),
            baud_whole: Register::at(base, 0x24),
            baud_part: Register::at(base, 0x28),
            line: Register::at(base, 0x2C),
            control: Register::at(base, 0x30),
            mask: Register::at(base, 0x38),
            clear: Register::at(base, 0x44),
        }
    }
}

/// The serial line to the air.
pub(crate) const UART0: Pl011 = Pl011::at(0x4000_C000);
/// The serial line to whoever watches.
pub(crate) const UART1: Pl011 = Pl011::at(0x4000_D000);

/// A timer that wakes the processor.
pub(crate) struct Alarm {
    pub(crate) config: Register,
    pub(crate) mode: Register,
    pub(crate) control: Register,
    pub(crate) mask: Register,
    pub(crate) clear: Register,
    pub(crate) load: Register,
}

/// General-purpose timer 0.
pub(crate) const TIMER0: Alarm = Alarm {
    config: Register(0x4003_0000),
    mode: Register(0x4003_0004),
    control: Register(0x4003_000C),
    mask: Register(0x4003_0018),
    clear: Register(0x4003_0024),
    load: Register(0x4003_0028),
};

/// The interrupts in use, by their number.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(crate) enum Interrupt {
    Uart0 = 5,
    Timer0 = 19,
}

// SAFETY: the number is that of the chip, and less than its count of interrupts.
unsafe impl cortex_m::interrupt::InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

/// Lets an interrupt through.
pub(crate) fn unmask(interrupt: Interrupt) {
    // SAFETY: see the table.
    unsafe { NVIC::unmask(interrupt) }
}

type Handler = extern "C" fn();

extern "C" fn on_uart0() {
    crate::uart::on_received();
}

extern "C" fn on_timer0() {
    crate::clock::on_alarm();
}

extern "C" fn on_nothing() {
    panic!("an interrupt that nobody asked for");
}

/// The handlers of the chip's interrupts; the first is number 0.
#[expect(clippy::indexing_slicing, reason = "the compiler carries it out")]
#[used]
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [Handler; 44] = {
    let mut handlers = [on_nothing as Handler; 44];
    handlers[Interrupt::Uart0 as usize] = on_uart0;
    handlers[Interrupt::Timer0 as usize] = on_timer0;
    handlers
};

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    crate::exit::on_crash(frame.pc(), frame.lr())
}

/// A call to the host by semihosting.
fn call_host(operation: u32, block: *const u32) -> u32 {
    let answer;
    // SAFETY: the debugger's breakpoint of semihosting: it takes the operation and a block, and answers in r0.
    unsafe {
        core::arch::asm!("bkpt 0xAB", inout("r0") operation => answer, in("r1") block, options(nostack));
    }
    answer
}

/// Opens a file of the host for reading and writing; it must be there.
pub(crate) fn open_file(path: &core::ffi::CStr) -> Option<u32> {
    const SYS_OPEN: u32 = 0x01;
    const READ_AND_WRITE: u32 = 3; // "r+b"
    let length = u32::try_from(path.count_bytes()).ok()?;
    let handle = call_host(SYS_OPEN, [path.as_ptr() as u32, READ_AND_WRITE, length].as_ptr());
    (handle != u32::MAX).then_some(handle)
}

/// The length of an open file.
pub(crate) fn file_length(handle: u32) -> Option<u32> {
    const SYS_FLEN: u32 = 0x0C;
    let length = call_host(SYS_FLEN, [handle].as_ptr());
    (length != u32::MAX).then_some(length)
}

fn seek(handle: u32, offset: u32) -> bool {
    const SYS_SEEK: u32 = 0x0A;
    call_host(SYS_SEEK, [handle, offset].as_ptr()) == 0
}

/// Reads all of `buffer` from a place in a file; says whether it did.
pub(crate) fn read_file(handle: u32, offset: u32, buffer: &mut [u8]) -> bool {
    const SYS_READ: u32 = 0x06;
    let block = [handle, buffer.as_mut_ptr() as u32, buffer.len() as u32];
    seek(handle, offset) && call_host(SYS_READ, block.as_ptr()) == 0
}

/// Writes all of `bytes` to a place in a file; says whether it did.
pub(crate) fn write_file(handle: u32, offset: u32, bytes: &[u8]) -> bool {
    const SYS_WRITE: u32 = 0x05;
    let block = [handle, bytes.as_ptr() as u32, bytes.len() as u32];
    seek(handle, offset) && call_host(SYS_WRITE, block.as_ptr()) == 0
}

/// The command line, as many bytes of it as fit; `None` if it is longer.
pub(crate) fn command_line(buffer: &mut [u8]) -> Option<usize> {
    const SYS_GET_CMDLINE: u32 = 0x15;
    let block = [buffer.as_mut_ptr() as u32, buffer.len() as u32];
    let failed = call_host(SYS_GET_CMDLINE, block.as_ptr());
    // The host writes behind the compiler's back.
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
    (failed == 0).then(|| buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len()))
}

/// Switches the board off. The process that emulates it ends with this status.
pub(crate) fn switch_off(status: u8) -> ! {
    const SYS_EXIT_EXTENDED: u32 = 0x20;
    const APPLICATION_EXIT: u32 = 0x2_0026;
    loop {
        call_host(SYS_EXIT_EXTENDED, [APPLICATION_EXIT, u32::from(status)].as_ptr());
    }
}

/// How many words there are for the stack, and how many of them are still as they were painted.
pub(crate) fn painted_words() -> (usize, usize) {
    const PAINT: u32 = 0xCCCC_CCCC;
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let (lowest, top) = (&raw const _stack_end, &raw const _stack_start);
    let words = (top as usize - lowest as usize) / size_of::<u32>();
    // SAFETY: within the stack, see the table.
    let is_painted = |at: &usize| unsafe { core::ptr::read_volatile(lowest.add(*at)) } == PAINT;
    (words, (0..words).take_while(is_painted).count())
}
