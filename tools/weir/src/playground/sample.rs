//! The sample dataset: shards of bytes that look random and are the same everywhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::ToolError;

/// The bucket at the origin.
pub(super) const BUCKET: &str = "sample";
/// Objects in it.
pub(super) const SHARDS: u64 = 32;
/// Bytes of each.
pub(super) const SHARD_BYTES: u64 = 2 << 20;

/// The object of number `n`.
pub(super) fn name(n: u64) -> String {
    format!("shard-{n:03}.bin")
}

/// Writes the shards that are not there, into `root` as the embedded server keeps them: a directory for the bucket, a
/// file for each object.
pub(super) fn make(root: &Path) -> Result<(), ToolError> {
    let dir = root.join(BUCKET);
    fs::create_dir_all(&dir).map_err(ToolError::file(&dir))?;
    for n in 0..SHARDS {
        let path = dir.join(name(n));
        let whole = path.metadata().is_ok_and(|m| m.len() == SHARD_BYTES);
        if !whole {
            // Beside the bucket, so that nobody sees half a shard.
            let part = root.join(".sample.part");
            write(&part, n).and_then(|()| fs::rename(&part, &path)).map_err(ToolError::file(&path))?;
        }
    }
    Ok(())
}

fn write(path: &Path, n: u64) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(256 << 10, File::create(path)?);
    for word in words(n).take((SHARD_BYTES / 8) as usize) {
        file.write_all(&word.to_le_bytes())?;
    }
    file.flush()
}

/// xorshift64*, seeded by the shard's number.
fn words(n: u64) -> impl Iterator<Item = u64> {
    let mut state = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

#[cfg(test)]
mod tests {
    use weir_types::ChecksumKind;
    use weir_types::checksum::of;

    use super::*;

    #[test]
    fn shards_are_the_same_everywhere_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path()).unwrap();
        let path = |n| dir.path().join(BUCKET).join(name(n));
        let sum = |n| of(ChecksumKind::Crc32c, &fs::read(path(n)).unwrap()).hex();
        assert_eq!((sum(0).as_str(), sum(31).as_str()), (FIRST, LAST));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(path(3), "half").unwrap();
        let before = path(4).metadata().unwrap().modified().unwrap();
        make(dir.path()).unwrap();
        assert_eq!(path(3).metadata().unwrap().len(), SHARD_BYTES);
        assert_eq!(path(4).metadata().unwrap().modified().unwrap(), before);
    }

    // CRC-32C of the two, computed apart from this code.
    const FIRST: &str = "f613f2b9";
    const LAST: &str = "ca5d5ef1";
}
