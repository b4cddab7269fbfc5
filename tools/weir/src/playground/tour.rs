//! The first read of the sample: once from the origin, once from the node's disks, and both speeds.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_types::{Bucket, BucketName, Provider};

use super::sample;
use crate::client::Client;
use crate::commands::parallel;
use crate::error::ToolError;
use crate::output::{size, speed};
use crate::progress::Progress;
use crate::uri::ObjectUri;

/// Objects read at once.
const JOBS: usize = 8;

/// What the first read took; kept, since a cold read happens once.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Figures {
    bytes: u64,
    cold_seconds: f64,
    warm_seconds: f64,
}

/// Reads the sample cold and warm at the first start, and tells what it took at every start.
pub(super) fn run(client: &Client, dir: &Path) -> Result<(), ToolError> {
    let path = dir.join("first-read.json");
    let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Figures>(&text).ok());
    let (figures, when) = match known {
        Some(figures) => (figures, "when it was first read here"),
        None => {
            let figures = measure(client)?;
            let text = serde_json::to_vec(&figures).map_err(|e| ToolError::Node(e.to_string()))?;
            fs::write(&path, text).map_err(ToolError::file(&path))?;
            (figures, "just now")
        }
    };
    io::Write::write_all(&mut io::stdout(), figures.text(when).as_bytes()).map_err(ToolError::Output)
}

fn measure(client: &Client) -> Result<Figures, ToolError> {
    let cold = read(client)?;
    let warm = read(client)?;
    if (cold.objects, cold.bytes) != (warm.objects, warm.bytes) {
        return Err(ToolError::Node(format!(
            "the sample was {} bytes cold, {} warm",
            cold.bytes, warm.bytes
        )));
    }
    Ok(Figures { bytes: cold.bytes, cold_seconds: cold.seconds, warm_seconds: warm.seconds })
}

/// Every shard once, each checked against the node's checksum.
fn read(client: &Client) -> Result<parallel::Total, ToolError> {
    let name = BucketName::new(sample::BUCKET).map_err(|e| ToolError::Node(e.to_string()))?;
    let bucket = Bucket::global(Provider::Aws, name);
    let progress = Progress::start("sample", 0, false);
    parallel::run(JOBS, (0..sample::SHARDS).map(Ok), |n| {
        let uri = ObjectUri::new(&bucket, &sample::name(n)).map_err(ToolError::Node)?;
        let bytes = client.open(&uri, None)?.copy(io::sink(), true, &progress)?;
        match bytes {
            sample::SHARD_BYTES => Ok(bytes),
            other => {
                Err(ToolError::Node(format!("{uri} has {other} bytes, expected {}", sample::SHARD_BYTES)))
            }
        }
    })
}

impl Figures {
    fn text(&self, when: &str) -> String {
        format!(
            "\nThe sample, {} in {} objects, {when}:
  cold, from the origin     {:>12}   {:.2} s
  warm, from this node      {:>12}   {:.2} s
",
            size(self.bytes),
            sample::SHARDS,
            speed(self.bytes, self.cold_seconds),
            self.cold_seconds,
            speed(self.bytes, self.warm_seconds),
            self.warm_seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_speeds_are_told() {
        let text = Figures { bytes: 64 << 20, cold_seconds: 2.0, warm_seconds: 0.5 }.text("just now");
        for part in ["64.0 MiB in 32 objects", "32.0 MiB/s", "128.0 MiB/s"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
