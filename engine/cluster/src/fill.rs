//! How full a disk is, by the watermarks of AIS's `space` section.

use crate::config::Space;

/// Between which watermarks a disk is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Fill {
    /// It has room.
    #[default]
    Room,
    /// Above `highwm`: what may go is to go, down to `lowwm`.
    High,
    /// Above `out_of_space`: clients write nothing to it.
    Out,
}

impl Space {
    /// How full a disk is of which so many bytes of all are used.
    pub fn fill(&self, used: u64, total: u64) -> Fill {
        match used {
            used if used > share(total, self.out_of_space) => Fill::Out,
            used if used > share(total, self.highwm) => Fill::High,
            _ => Fill::Room,
        }
    }

    /// Bytes that are to go from it: down to the low watermark, once it is above the high one.
    pub fn excess(&self, used: u64, total: u64) -> u64 {
        match self.fill(used, total) {
            Fill::Room => 0,
            Fill::High | Fill::Out => used.saturating_sub(share(total, self.lowwm)),
        }
    }
}

fn share(total: u64, percent: i64) -> u64 {
    let bytes = u128::from(total) * u128::from(percent.unsigned_abs()) / 100;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermarks() {
        let space = Space::default();
        for (used, fill, excess) in [
            (0, Fill::Room, 0),
            (900, Fill::Room, 0),
            (901, Fill::High, 151),
            (950, Fill::High, 200),
            (951, Fill::Out, 201),
            (1000, Fill::Out, 250),
        ] {
            assert_eq!((space.fill(used, 1000), space.excess(used, 1000)), (fill, excess), "{used}");
        }
        assert_eq!(space.fill(0, 0), Fill::Room, "nothing is known of it");
        assert_eq!(space.fill(u64::MAX, u64::MAX), Fill::Out);
        let never = Space { out_of_space: 100, ..space };
        assert_eq!(never.fill(u64::MAX, u64::MAX), Fill::High);
    }
}
