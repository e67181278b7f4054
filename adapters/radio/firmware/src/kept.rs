//! What flash keeps for a board that has no log: its life, and the highest token it saw.
//!
//! ```text
//! entry: number u64 | the same, all bits turned       number: a life, or 1 << 63 and a token
//! ```
//!
//! Entries go one after the other into a page. When it is full, the other is erased and begins with what counts; both
//! numbers only grow, so the page with the higher ones is the newer.

use crate::flash::{HostFlash, PAGE, WORD};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use quorate::lock::Token;

const ENTRY: usize = 16;
const ENTRIES: u32 = (PAGE / ENTRY) as u32;
const TOKEN: u64 = 1 << 63;

/// Two pages of flash.
#[derive(Debug)]
pub struct Kept {
    flash: HostFlash,
    page: u32,
    /// Where the next entry goes.
    next: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    token: Option<Token>,
    life: u32,
}

impl Kept {
    /// Begins a life: its number, from 1, and the highest token kept. `None` if the flash fails.
    #[must_use]
    pub fn open(flash: HostFlash) -> Option<(Self, u32, Option<Token>)> {
        const { assert!(ENTRY.is_multiple_of(WORD)) }
        let mut kept = Self { flash, page: 0, next: 0, state: State::default() };
        let (first, second) = (kept.look(0)?, kept.look(1)?);
        (kept.page, (kept.state, kept.next)) = if second.0 > first.0 { (1, second) } else { (0, first) };
        let life = kept.state.life + 1;
        kept.state.life = life;
        kept.write(u64::from(life))?;
        let token = kept.state.token;
        Some((kept, life, token))
    }

    /// Keeps a token.
    pub fn token(&mut self, token: Token) -> Option<()> {
        self.state.token = self.state.token.max(Some(token));
        self.write(TOKEN | token.get())
    }

    /// What a page says, and where its blank part begins.
    fn look(&mut self, page: u32) -> Option<(State, u32)> {
        let (mut state, mut next) = (State::default(), 0);
        for at in 0..ENTRIES {
            let mut bytes = [0; ENTRY];
            self.flash.read(place(page, at), &mut bytes).ok()?;
            if bytes.iter().any(|&byte| byte != 0xFF) {
                next = at + 1;
            }
            let (number, turned) = bytes.split_first_chunk::<8>()?;
            let (number, turned) = (u64::from_le_bytes(*number), u64::from_le_bytes(*turned.first_chunk()?));
            // One that was torn says nothing.
            match number == !turned {
                true if number & TOKEN == 0 => state.life = state.life.max(number as u32),
                true => state.token = state.token.max(Some(Token::new(number ^ TOKEN))),
                false => {}
            }
        }
        Some((state, next))
    }

    fn write(&mut self, number: u64) -> Option<()> {
        if self.next >= ENTRIES {
            (self.page, self.next) = (1 - self.page, 0);
            let from = place(self.page, 0);
            self.flash.erase(from, from + PAGE as u32).ok()?;
            self.put(u64::from(self.state.life))?;
            if let Some(token) = self.state.token {
                self.put(TOKEN | token.get())?;
            }
        }
        self.put(number)
    }

    fn put(&mut self, number: u64) -> Option<()> {
        let mut bytes = [0; ENTRY];
        let (front, back) = bytes.split_first_chunk_mut::<8>()?;
        *front = number.to_le_bytes();
        back.copy_from_slice(&(!number).to_le_bytes());
        self.flash.write(place(self.page, self.next), &bytes).ok()?;
        self.next += 1;
        Some(())
    }
}

const fn place(page: u32, entry: u32) -> u32 {
    page * PAGE as u32 + entry * ENTRY as u32
}
