//! Records as they lie in the file: JSON, compressed. A record is some 10 kB of text that repeats itself; packed
//! it is a fraction of that to write at each commit, and to check at each start.

/// Longest record that is unpacked: far above any that is written, far below what would hurt.
const LONGEST: usize = 16 << 20;

/// Returns the packed text.
pub(super) fn pack(text: &[u8]) -> Vec<u8> {
    lz4_flex::compress_prepend_size(text)
}

/// Returns the text that was packed.
///
/// # Errors
/// When the bytes are not what [`pack`] made.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (length, rest) = lz4_flex::block::uncompressed_size(bytes).map_err(|error| error.to_string())?;
    if length > LONGEST {
        return Err(format!("it would unpack to {length} bytes, expected at most {LONGEST}"));
    }
    lz4_flex::decompress(rest, length).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_what_is_damaged_is_an_error() {
        let text = r#"{"text":"p99.predicted","unit":"seconds","holds":"true"}"#.repeat(100);
        let bytes = pack(text.as_bytes());
        assert!(bytes.len() * 10 < text.len(), "{} bytes", bytes.len());
        assert_eq!(unpack(&bytes).as_deref(), Ok(text.as_bytes()));
        let huge = [u32::MAX.to_le_bytes().as_slice(), &bytes[4..]].concat();
        for damaged in [&bytes[..0], &bytes[..3], &bytes[..bytes.len() / 2], &huge] {
            assert!(unpack(damaged).is_err(), "{} bytes", damaged.len());
        }
    }
}
