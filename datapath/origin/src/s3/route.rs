//! Which endpoint has a bucket.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use weir_types::limits::BUCKETS_MAX;
use weir_types::{BucketName, Provider};

use super::answer::About;
use super::client::{Ask, Client};
use crate::endpoint::Endpoint;
use crate::{OriginBucket, OriginError, RemoteBucket};

/// Where buckets were found, when a provider has more than one endpoint; at most [`BUCKETS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Routes(Mutex<HashMap<(Provider, BucketName), Arc<Endpoint>>>);

impl Routes {
    fn find(&self, bucket: &RemoteBucket) -> Option<Arc<Endpoint>> {
        self.0.lock().get(&(bucket.provider, bucket.name.clone())).cloned()
    }

    /// A bucket that names its endpoint needs no memory, and says nothing about its namesakes.
    fn keep(&self, bucket: &RemoteBucket, endpoint: &Arc<Endpoint>) {
        if bucket.endpoint.is_some() {
            return;
        }
        let mut routes = self.0.lock();
        if routes.len() >= BUCKETS_MAX {
            routes.clear();
        }
        routes.insert((bucket.provider, bucket.name.clone()), endpoint.clone());
    }

    fn forget(&self, bucket: &RemoteBucket) {
        if bucket.endpoint.is_some() {
            return;
        }
        self.0.lock().remove(&(bucket.provider, bucket.name.clone()));
    }
}

impl Client {
    /// The endpoint to ask about `bucket`: its own, the only one, or the one that was found to have it.
    pub(super) async fn route(&self, bucket: &RemoteBucket) -> Result<Arc<Endpoint>, OriginError> {
        match self.candidates(bucket)?.as_slice() {
            [one] => Ok(one.clone()),
            many => match self.core.routes.find(bucket) {
                Some(endpoint) => Ok(endpoint),
                None => self.search(bucket, many).await.map(|(endpoint, _)| endpoint),
            },
        }
    }

    /// Asks whether the bucket is there, wherever it may be.
    pub(crate) async fn head_bucket(&self, bucket: &RemoteBucket) -> Result<OriginBucket, OriginError> {
        self.core.routes.forget(bucket);
        let (endpoint, region) = self.search(bucket, &self.candidates(bucket)?).await?;
        Ok(OriginBucket {
            provider: bucket.provider,
            name: bucket.name.clone(),
            endpoint: endpoint.url.clone(),
            region: region.unwrap_or_else(|| endpoint.region.clone()),
            created: None,
        })
    }

    /// Endpoints that may have the bucket; never none.
    fn candidates(&self, bucket: &RemoteBucket) -> Result<Vec<Arc<Endpoint>>, OriginError> {
        let wanted = bucket.endpoint.as_deref().map(|url| url.trim_end_matches('/'));
        let fits =
            |e: &&Arc<Endpoint>| e.provider == bucket.provider && wanted.is_none_or(|url| e.url == url);
        let found: Vec<_> = self.core.endpoints.iter().filter(fits).cloned().collect();
        if found.is_empty() {
            let wanted = wanted.unwrap_or(bucket.provider.as_str()).to_owned();
            return Err(OriginError::NotConfigured { bucket: bucket.canonical(), wanted });
        }
        Ok(found)
    }

    /// The first endpoint, in the order of the configuration, that says the bucket is there. An endpoint that could not
    /// answer outweighs one that says no: absence is told only when all agree.
    async fn search(
        &self,
        bucket: &RemoteBucket,
        endpoints: &[Arc<Endpoint>],
    ) -> Result<(Arc<Endpoint>, Option<String>), OriginError> {
        let mut doubt = None;
        for endpoint in endpoints {
            let ask = Ask {
                method: Method::HEAD,
                bucket: Some(&bucket.name),
                key: "",
                query: &[],
                headers: vec![],
            };
            let answer = match self.ask(endpoint, &ask).await {
                Ok(response) => self.accept(About::bucket(bucket), response).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(response) => {
                    self.core.routes.keep(bucket, endpoint);
                    let region = response.headers().get("x-amz-bucket-region").and_then(|v| v.to_str().ok());
                    return Ok((endpoint.clone(), region.map(str::to_owned)));
                }
                Err(error) if error.is_absence() => {}
                Err(error) => doubt = doubt.or(Some(error)),
            }
        }
        Err(doubt.unwrap_or_else(|| OriginError::BucketNotFound { bucket: bucket.canonical() }))
    }

    /// Forgets where a bucket was when it is no longer there.
    pub(super) fn note<T>(
        &self,
        bucket: &RemoteBucket,
        answer: Result<T, OriginError>,
    ) -> Result<T, OriginError> {
        if matches!(answer, Err(OriginError::BucketNotFound { .. })) {
            self.core.routes.forget(bucket);
        }
        answer
    }
}
