//! What a lock is called.

use core::fmt;
use core::ops::Deref;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The name of a lock: up to `LONGEST` bytes, of any kind; derefs to them. How many fit must be the same on every
/// replica.
///
/// ```
/// use quorate::lock::Name;
///
/// let name = <Name>::new("printer").expect("short enough");
/// assert_eq!(&*name, b"printer");
/// assert_eq!(<Name>::new([0; 65]), None);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<const LONGEST: usize = 64>(heapless::Vec<u8, LONGEST, u8>);

impl<const LONGEST: usize> Name<LONGEST> {
    /// Bytes in the longest name.
    pub const LONGEST: usize = LONGEST;

    /// A name of these bytes, unless there are more than fit.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        heapless::Vec::from_slice(bytes.as_ref()).ok().map(Self)
    }
}

impl<const LONGEST: usize> Deref for Name<LONGEST> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const LONGEST: usize> fmt::Display for Name<LONGEST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl<const LONGEST: usize> fmt::Debug for Name<LONGEST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<const LONGEST: usize> Serialize for Name<LONGEST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de, const LONGEST: usize> Deserialize<'de> for Name<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const LONGEST: usize>;

        impl<const LONGEST: usize> de::Visitor<'_> for Visitor<LONGEST> {
            type Value = Name<LONGEST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {LONGEST} bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Name<LONGEST>, E> {
                Name::new(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &self))
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}
