use weir_types::{ObjectName, Provider, RangeSpec};

use crate::{
    ListPage, ListQuery, OriginBucket, OriginError, OriginObject, OriginStats, OriginStream, OriginsConfig,
    RemoteBucket,
};

#[derive(Debug)]
pub(crate) struct Client;

impl Client {
    pub(crate) fn new(_: &OriginsConfig) -> Result<Self, OriginError> {
        Ok(Self)
    }
    pub(crate) fn serves(&self, _: Provider) -> bool {
        false
    }
    pub(crate) fn stats(&self) -> OriginStats {
        OriginStats::default()
    }
    pub(crate) async fn list_buckets(&self, _: Provider) -> Result<Vec<OriginBucket>, OriginError> {
        Err(OriginError::Stopped)
    }
    pub(crate) async fn head_bucket(&self, _: &RemoteBucket) -> Result<OriginBucket, OriginError> {
        Err(OriginError::Stopped)
    }
    pub(crate) async fn list_page(&self, _: &RemoteBucket, _: &ListQuery) -> Result<ListPage, OriginError> {
        Err(OriginError::Stopped)
    }
    pub(crate) async fn head(&self, _: &RemoteBucket, _: &ObjectName) -> Result<OriginObject, OriginError> {
        Err(OriginError::Stopped)
    }
    pub(crate) async fn get(
        &self,
        _: &RemoteBucket,
        _: &ObjectName,
        _: Option<RangeSpec>,
        _: Option<String>,
    ) -> Result<OriginStream, OriginError> {
        Err(OriginError::Stopped)
    }
}
