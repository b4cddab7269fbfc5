//! Checksums of concatenations, from those of the pieces.

use crc_fast::CrcAlgorithm as Crc;

use crate::ChecksumKind;

/// The CRC of `a ++ b` from the CRC of `a`, that of `b` and the bytes of `b`. Values are big-endian, as in
/// [`crate::Checksum`]. `None` if the kind is no CRC or a value has not its length.
pub fn combine_crc(kind: ChecksumKind, a: &[u8], b: &[u8], b_bytes: u64) -> Option<Vec<u8>> {
    let algorithm = match kind {
        ChecksumKind::Crc32 => Crc::Crc32IsoHdlc,
        ChecksumKind::Crc32c => Crc::Crc32Iscsi,
        ChecksumKind::Crc64Nvme => Crc::Crc64Nvme,
        _ => return None,
    };
    let width = kind.value_bytes();
    if a.len() != width || b.len() != width {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let whole = crc_fast::checksum_combine(algorithm, number(a), number(b), b_bytes);
    Some(whole.to_be_bytes()[8 - width..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::of;

    #[test]
    fn pieces_combine_to_the_whole() {
        let data: Vec<u8> = (0..5000u32).map(|i| (i * 31) as u8).collect();
        for kind in [ChecksumKind::Crc32, ChecksumKind::Crc32c, ChecksumKind::Crc64Nvme] {
            for cut in [0, 1, 777, 4999, 5000] {
                let (a, b) = data.split_at(cut);
                let whole = combine_crc(kind, &of(kind, a).value, &of(kind, b).value, b.len() as u64);
                assert_eq!(whole, Some(of(kind, &data).value), "{kind:?} at {cut}");
            }
        }
        assert_eq!(combine_crc(ChecksumKind::Md5, &[0; 16], &[0; 16], 1), None);
        assert_eq!(combine_crc(ChecksumKind::Crc32, &[0; 3], &[0; 4], 1), None);
    }
}
