//! Answers to control requests. Each dialect has its own module; both reach state and store through [`Core`].

mod ais;
mod metrics;
mod s3;
mod space;
#[cfg(test)]
pub(crate) mod tests;

use std::net::SocketAddr;

#[cfg(test)]
pub(crate) use ais::act;
pub(crate) use ais::{told, told_change};

use bytes::Bytes;
use weir_auth::{Grant, Principal};
use weir_cluster::BucketProps;
use weir_http::Head;
use weir_types::Access;

use crate::core::Core;
use crate::{ControlOp, ControlResponse};

/// What a request brings besides its operation.
pub(crate) struct Asked<'r> {
    pub(crate) head: Head<'r>,
    pub(crate) body: Bytes,
    pub(crate) grant: Grant,
    pub(crate) peer: SocketAddr,
    pub(crate) request_id: &'r str,
    /// Control requests and calls under way, this one included.
    pub(crate) under_way: usize,
}

/// Answers a request. Every path asks the grant before anything else.
pub(crate) async fn answer(core: &std::sync::Arc<Core>, op: ControlOp, asked: Asked<'_>) -> ControlResponse {
    match op {
        ControlOp::Ais(op) => ais::answer(core, *op, &asked).await,
        ControlOp::S3(op) => s3::answer(core, *op, &asked).await,
    }
}

/// Whether the bucket's own access mask lets this through. Its properties can always be changed, or a mask could
/// never be lifted; and without credentials whatever only reads passes (AIS `ais/prxauth.go`).
fn mask_allows(props: &BucketProps, access: Access, grant: &Grant) -> bool {
    let reads = grant.principal() == &Principal::Anonymous && Access::READ_ONLY.allows(access);
    props.access.allows(access) || access == Access::PATCH || reads
}
