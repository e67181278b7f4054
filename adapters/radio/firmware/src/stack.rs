//! How deep the stack went: it is painted at boot, and what is used loses its paint.

/// The deepest use so far, in bytes.
#[must_use]
pub fn deepest() -> usize {
    let (words, painted) = crate::hardware::painted_words();
    (words - painted) * size_of::<u32>()
}
