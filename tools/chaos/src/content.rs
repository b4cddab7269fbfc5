//! Bodies that say who wrote them: each write has a number of its own, and its bytes follow from seed, name and number. Other
//! bytes than those of a write of that name are wrong, whatever they are.

use xxhash_rust::xxh64::xxh64;

/// Sizes on each side of every way that an object is kept: in memory, in the journal, as a file, read in pieces.
const SIZES: [usize; 10] = [24, 24, 100, 1000, 4096, 4096, 20_000, 20_000, 70_000, 300_000];
/// Bytes that carry the number.
const NUMBER_BYTES: usize = 8;

/// Why bytes are wrong.
pub type Wrong = String;

/// The body of write `number` of `name`.
pub fn body(seed: u64, name: &str, number: u64) -> Vec<u8> {
    let size = SIZES[(mix(number ^ seed) % SIZES.len() as u64) as usize];
    let mut out = Vec::with_capacity(size + NUMBER_BYTES);
    out.extend_from_slice(&number.to_le_bytes());
    let mut state = name.bytes().fold(mix(seed ^ number), |state, byte| mix(state ^ u64::from(byte))) | 1;
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

/// The write of `name` that these bytes are: all of them, or their begin if `whole` is not set. `None`: too few to tell.
pub fn identify(seed: u64, name: &str, bytes: &[u8], whole: bool) -> Result<Option<u64>, Wrong> {
    let Some(number) = bytes.first_chunk::<NUMBER_BYTES>() else {
        return if whole { Err(format!("{} bytes", bytes.len())) } else { Ok(None) };
    };
    let number = u64::from_le_bytes(*number);
    let expected = body(seed, name, number);
    if whole && bytes.len() != expected.len() {
        return Err(format!("{} bytes, of write {number} there are {}", bytes.len(), expected.len()));
    }
    match bytes.iter().zip(&expected).position(|(got, want)| got != want) {
        None if bytes.len() <= expected.len() => Ok(Some(number)),
        None => Err(format!("{} bytes, of write {number} there are {}", bytes.len(), expected.len())),
        Some(at) => Err(format!("byte {at} is not that of write {number}")),
    }
}

/// The checksum of a body as `Ais-Checksum-Value` has it: of type `xxhash2`.
pub fn checksum(body: &[u8]) -> String {
    format!("{:016x}", xxh64(body, 0))
}

fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_for_what_it_is() {
        for number in 1..60 {
            let body = body(7, "a", number);
            assert_eq!(identify(7, "a", &body, true), Ok(Some(number)));
            assert_eq!(identify(7, "a", &body[..body.len() - 1], false), Ok(Some(number)));
            assert_eq!(identify(7, "a", &body[..5], false), Ok(None));
        }
    }

    #[test]
    fn other_bytes_are_wrong() {
        let good = body(7, "a", 3);
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        let longer = [&good[..], b"x"].concat();
        for (name, bytes) in
            [("b", &good[..]), ("a", &flipped), ("a", &longer), ("a", &good[..8]), ("a", &[])]
        {
            assert!(identify(7, name, bytes, true).is_err(), "{name}, {} bytes", bytes.len());
        }
        assert!(identify(8, "a", &good, true).is_err(), "of another seed");
        assert!(identify(7, "a", &longer, false).is_err());
    }
}
