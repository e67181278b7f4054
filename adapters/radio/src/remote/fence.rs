//! What a resource does with the tokens of a lock.

use quorate::lock::Token;
use serde::{Deserialize, Serialize};

/// What became of a use of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Used {
    /// It was let through.
    Accepted,
    /// A grant of the lock after that of the token used it already.
    Refused {
        /// The highest token so far.
        highest: Token,
    },
}

/// Lets uses through whose token is at least the highest seen so far.
///
/// ```
/// use quorate::lock::Token;
/// use quorate_radio::remote::{Fence, Used};
///
/// let mut fence = Fence::default();
/// assert_eq!(fence.admit(Token::new(34)), Used::Accepted);
/// assert_eq!(fence.admit(Token::new(33)), Used::Refused { highest: Token::new(34) });
/// assert_eq!(fence.admit(Token::new(34)), Used::Accepted);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    highest: Option<Token>,
}

impl Fence {
    /// One that has seen tokens up to this: what it kept, if it was switched off.
    #[must_use]
    pub const fn kept(highest: Option<Token>) -> Self {
        Self { highest }
    }

    /// The highest token seen.
    #[must_use]
    pub const fn highest(&self) -> Option<Token> {
        self.highest
    }

    /// Decides on a use. Keep a new [`highest`](Self::highest) before the use has an effect.
    pub fn admit(&mut self, token: Token) -> Used {
        match self.highest {
            Some(highest) if token < highest => Used::Refused { highest },
            Some(_) | None => {
                self.highest = Some(token);
                Used::Accepted
            }
        }
    }
}
