//! XXH64 (Collet, 2014; `doc/xxhash_spec.md` of xxHash) with seed 0.

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// XXH64 of the bytes, with seed 0: the one hash of this module. Not for secrets.
///
/// ```
/// assert_eq!(quorate::placement::hash(b"abc"), 0x44BC_2CF5_AD77_0999);
/// ```
#[must_use]
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut state = if stripes.is_empty() { PRIME_5 } else { digest_of(stripes) };
    state = state.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        let mixed = state ^ round(0, u64::from_le_bytes(*word));
        state = mixed.rotate_left(27).wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        let mixed = state ^ u64::from(u32::from_le_bytes(*word)).wrapping_mul(PRIME_1);
        state = mixed.rotate_left(23).wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
    }
    for byte in rest {
        let mixed = state ^ u64::from(*byte).wrapping_mul(PRIME_5);
        state = mixed.rotate_left(11).wrapping_mul(PRIME_1);
    }
    state = (state ^ (state >> 33)).wrapping_mul(PRIME_2);
    state = (state ^ (state >> 29)).wrapping_mul(PRIME_3);
    state ^ (state >> 32)
}

/// Four lanes side by side, and what they come to.
fn digest_of(stripes: &[[u8; 32]]) -> u64 {
    let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, PRIME_1.wrapping_neg()];
    for stripe in stripes {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
    let joined = turned.fold(0, u64::wrapping_add);
    lanes
        .iter()
        .fold(joined, |state, lane| (state ^ round(0, *lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4))
}

const fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}
