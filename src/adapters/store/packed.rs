//! The on-disk format of decision records: `MessagePack` with named fields, compressed.
//!
//! As JSON a record takes more than ten kilobytes, most of it digits of quantiles and names of fields. Packed, only a
//! fraction of that is written at each commit and checked at each start, and encoding is faster. Fields keep their
//! names, so that `serde` reads old records as it reads old JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Room for a record of a service with a few signals, before it is compressed.
const USUAL: usize = 16 << 10;
/// Longest record that is unpacked: far above any that is written, far below what would hurt.
const LONGEST: usize = 16 << 20;

/// Why a record cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// Part of it cannot be represented in the format.
    #[error("{0}")]
    Unserialisable(#[from] rmp_serde::encode::Error),
    /// [`unpack`] would refuse it.
    #[error("it has {length} bytes, expected at most {LONGEST}")]
    TooLong {
        /// Before compression.
        length: usize,
    },
}

/// Returns the packed record.
///
/// # Errors
/// When it cannot be serialised, or is too long to be read again.
pub(super) fn pack(record: &impl Serialize) -> Result<Vec<u8>, PackError> {
    let mut bytes = Vec::with_capacity(USUAL);
    rmp_serde::encode::write_named(&mut bytes, record)?;
    if bytes.len() > LONGEST {
        return Err(PackError::TooLong { length: bytes.len() });
    }
    Ok(lz4_flex::compress_prepend_size(&bytes))
}

/// Returns the record that was packed.
///
/// # Errors
/// When the bytes are not what [`pack`] made of such a record.
pub(super) fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, String> {
    let (length, rest) = lz4_flex::block::uncompressed_size(packed).map_err(|error| error.to_string())?;
    if length > LONGEST {
        return Err(format!("it would unpack to {length} bytes, expected at most {LONGEST}"));
    }
    let bytes = lz4_flex::decompress(rest, length).map_err(|error| error.to_string())?;
    rmp_serde::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_exactly_and_what_is_damaged_is_an_error() {
        let record = vec![("p99.predicted", Some(0.1 + 0.2), f64::MIN_POSITIVE); 100];
        let packed = pack(&record).unwrap();
        assert!(packed.len() < 200, "{} bytes", packed.len());
        let read: Vec<(String, Option<f64>, f64)> = unpack(&packed).unwrap();
        let read: Vec<_> = read.iter().map(|(name, value, least)| (name.as_str(), *value, *least)).collect();
        assert_eq!(read, record);
        let longest = "x".repeat(LONGEST - 5);
        assert_eq!(unpack::<String>(&pack(&longest).unwrap()).unwrap(), longest, "with the five bytes of its length");
        assert!(matches!(pack(&format!("{longest}x")), Err(PackError::TooLong { length }) if length == LONGEST + 1));
        let huge = [u32::MAX.to_le_bytes().as_slice(), &packed[4..]].concat();
        for damaged in [&packed[..0], &packed[..3], &packed[..packed.len() / 2], &huge] {
            assert!(unpack::<Vec<(String, Option<f64>, f64)>>(damaged).is_err(), "{} bytes", damaged.len());
        }
    }
}
