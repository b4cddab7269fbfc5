//! Memory that is held, so that page-cache figures mean something: on a virtual machine the host takes memory back that was free
//! for a while, and the next use of it costs seconds of CPU a GiB. So nearly all of it is kept in use: by an anonymous
//! mapping, and what is left by page cache that the measured sets then recycle.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use super::machine::{memory_bytes, read};
use super::place::Place;
use super::stop;
use crate::error::{PerfError, Result};

const PAGE: usize = 4096;
/// Written and read at once.
const PIECE: usize = 4 << 20;
/// Of the file whose pages fill what is not held.
const FILLER_MAX: u64 = 4 << 30;
/// Free memory below which the machine counts as full.
const FREE_ENOUGH: u64 = 512 << 20;

/// Memory held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    mapping: Vec<u8>,
    filler: PathBuf,
    filler_bytes: u64,
}

impl Held {
    /// Touches all available memory but `leave` bytes, and fills those with page cache of a file on the disk below `place`.
    /// To be called when the rig's images are there.
    pub(crate) fn take(place: &Place, leave: u64) -> Result<Self> {
        let available = meminfo("MemAvailable")?;
        let bytes = usize::try_from(available.saturating_sub(leave)).unwrap_or(0);
        let mut mapping = vec![0u8; bytes];
        for (count, page) in mapping.chunks_mut(PAGE).enumerate() {
            if count % (1 << 16) == 0 {
                stop::check()?;
            }
            page[0] = 1;
        }
        let held = Self { mapping, filler: place.base().join("filler"), filler_bytes: leave.min(FILLER_MAX) };
        held.write_filler()?;
        held.fill()?;
        Ok(held)
    }

    /// Bytes of the mapping.
    pub(crate) fn bytes(&self) -> usize {
        self.mapping.len()
    }

    /// Reads the filler until little memory is free: before each part of a measurement, as deleted files leave free pages.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut piece = vec![0; PIECE];
        let mut file = File::open(&self.filler).map_err(PerfError::io("filler"))?;
        while meminfo("MemFree")? > FREE_ENOUGH {
            stop::check()?;
            if file.read(&mut piece).map_err(PerfError::io("filler"))? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn write_filler(&self) -> Result<()> {
        let mut file = File::create(&self.filler).map_err(PerfError::io("filler"))?;
        let piece = vec![1; PIECE];
        for _ in 0..self.filler_bytes / PIECE as u64 {
            stop::check()?;
            file.write_all(&piece).map_err(PerfError::io("filler"))?;
        }
        file.sync_all().map_err(PerfError::io("filler"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.filler);
    }
}

fn meminfo(name: &str) -> Result<u64> {
    let text = read("/proc/meminfo")?;
    memory_bytes(&text, name).ok_or_else(|| PerfError::parse("/proc/meminfo", "its usual lines", &text))
}
