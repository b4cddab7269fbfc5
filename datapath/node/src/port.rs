//! The control core as the shards see it.

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use weir_cluster::ClusterError;
use weir_control::{BackendError, ControlError, ControlHandle, ControlRequest, ControlResponse};
use weir_shard::{ControlCall, ControlOp, ControlPort, ControlReply};
use weir_types::{Bucket, BucketName};

/// Hands requests to the control core in its own words.
pub(crate) struct Port(pub(crate) ControlHandle);

impl ControlPort for Port {
    fn submit(&self, call: ControlCall) -> Option<BoxFuture<'static, Option<ControlReply>>> {
        let (reply, answer) = oneshot::channel::<ControlResponse>();
        let request = ControlRequest {
            op: match call.op {
                ControlOp::Ais(op) => weir_control::ControlOp::Ais(op),
                ControlOp::S3(op) => weir_control::ControlOp::S3(op),
            },
            head: call.head,
            body: call.body.into(),
            grant: call.grant,
            peer: call.peer,
            request_id: call.request_id,
            reply,
        };
        self.0.try_submit(request).ok()?;
        let turn = |r: ControlResponse| ControlReply { status: r.status, headers: r.headers, body: r.body };
        Some(answer.map(move |answer| answer.ok().map(turn)).boxed())
    }

    fn adopt_bucket(&self, bucket: Bucket) -> BoxFuture<'static, Result<bool, String>> {
        let control = self.0.clone();
        async move {
            match control.add_remote_bucket(bucket).await {
                Ok(_) => Ok(true),
                Err(error) if is_absence(&error) => Ok(false),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }

    fn find_bucket(&self, name: BucketName) -> BoxFuture<'static, Result<Option<Bucket>, String>> {
        let control = self.0.clone();
        async move {
            match control.bucket_by_name(name).await {
                Ok(found) => Ok(found.map(|(bucket, _)| bucket)),
                Err(error) if is_absence(&error) => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }
}

/// Whether it says that there is no such bucket, rather than that nobody could be asked.
fn is_absence(error: &ControlError) -> bool {
    matches!(
        error,
        ControlError::Backend(BackendError::NoBucket(_) | BackendError::NotConfigured(_))
            | ControlError::Cluster(ClusterError::BucketNotFound(_))
    )
}
