//! A hash that is stable across versions: records keep it, and what is distributed by it stays in place.

/// The hash of no bytes (FNV-1a, 64 bits).
pub const NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

/// Returns `hash` extended by more bytes.
pub fn more(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authors' test vectors.
    #[test]
    fn it_is_the_one_that_others_compute() {
        assert_eq!(more(NOTHING, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(more(more(NOTHING, b"foo"), b"bar"), 0x8594_4171_f739_67e8);
    }
}
