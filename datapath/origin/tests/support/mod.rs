//! What the tests stand on: a real S3 server in this process, and a proxy before it that fails on purpose.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod proxy;
pub(crate) mod server;

use std::future::Future;
use std::time::Duration;

use weir_origin::{
    Chunks, Credentials, OriginConfig, OriginError, Origins, OriginsConfig, OriginsHandle, RemoteBucket,
};
use weir_types::{Bucket, BucketName, ObjectName, Provider};

/// Runs a future with no tokio anywhere near it, as a shard does.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    futures_executor::block_on(future)
}

/// Origins over these endpoints, anonymous, with time limits that a test can wait for.
pub(crate) fn origins(endpoints: &[&str]) -> (Origins, OriginsHandle) {
    origins_with(endpoints, |_| {})
}

/// The same with changes.
pub(crate) fn origins_with(
    endpoints: &[&str],
    change: impl FnOnce(&mut OriginsConfig),
) -> (Origins, OriginsHandle) {
    let origin = |url: &&str| OriginConfig { credentials: Credentials::Anonymous, ..OriginConfig::s3(*url) };
    let mut config = OriginsConfig {
        origins: endpoints.iter().map(origin).collect(),
        connect_max: Duration::from_secs(2),
        head_max: Duration::from_secs(5),
        stall_max: Duration::from_millis(300),
        ..OriginsConfig::default()
    };
    change(&mut config);
    let origins = Origins::start(config).unwrap();
    let handle = origins.handle();
    (origins, handle)
}

pub(crate) fn bucket(name: &str) -> RemoteBucket {
    RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new(name).unwrap()))
}

pub(crate) fn object(name: &str) -> ObjectName {
    ObjectName::new(name).unwrap()
}

/// Bytes that differ everywhere and depend on `seed`.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// All chunks until the end or an error.
pub(crate) async fn read(chunks: &mut Chunks) -> (Vec<u8>, Result<(), OriginError>) {
    let mut bytes = Vec::new();
    loop {
        match chunks.next_chunk().await {
            Ok(Some(chunk)) => {
                assert!((1..=weir_types::limits::ORIGIN_CHUNK_BYTES_MAX).contains(&chunk.len()));
                bytes.extend_from_slice(&chunk);
            }
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// Waits until `holds`; a test that waits for what never comes fails by its runner's limit.
pub(crate) fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}
