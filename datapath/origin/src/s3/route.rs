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
use crate::{OriginBucket, OriginConfig, OriginError, RemoteBucket};

/// Where buckets are.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// Where they were found, when a provider has more than one endpoint; at most [`BUCKETS_MAX`].
    found: Mutex<HashMap<(Provider, BucketName), Arc<Endpoint>>>,
    /// Endpoints made for buckets with properties of their own, by URL and region; at most [`BUCKETS_MAX`].
    own: Mutex<HashMap<(String, String), Arc<Endpoint>>>,
}

impl Routes {
    fn find(&self, bucket: &RemoteBucket) -> Option<Arc<Endpoint>> {
        self.found.lock().get(&(bucket.provider, bucket.name.clone())).cloned()
    }

    /// A bucket that names its endpoint needs no memory, and says nothing about its namesakes.
    fn keep(&self, bucket: &RemoteBucket, endpoint: &Arc<Endpoint>) {
        if is_own(bucket) {
            return;
        }
        let mut routes = self.found.lock();
        if routes.len() >= BUCKETS_MAX {
            routes.clear();
        }
        routes.insert((bucket.provider, bucket.name.clone()), endpoint.clone());
    }

    fn forget(&self, bucket: &RemoteBucket) {
        if is_own(bucket) {
            return;
        }
        self.found.lock().remove(&(bucket.provider, bucket.name.clone()));
    }
}

/// Whether properties of the bucket say where it is.
fn is_own(bucket: &RemoteBucket) -> bool {
    bucket.endpoint.is_some() || bucket.region.is_some()
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
        let core = &self.core;
        let wanted = bucket.endpoint.as_deref().map(|url| url.trim_end_matches('/'));
        let of_provider = || core.endpoints.iter().filter(|e| e.provider == bucket.provider);
        let fits = |e: &&Arc<Endpoint>| wanted.is_none_or(|url| e.url == url);
        let listed: Vec<_> = of_provider().filter(fits).cloned().collect();
        match (wanted, bucket.region.as_deref()) {
            (_, None) if !listed.is_empty() => Ok(listed),
            (_, Some(region)) if !listed.is_empty() => listed
                .iter()
                .map(|e| self.own(&OriginConfig { region: region.into(), ..e.config.clone() }))
                .collect(),
            (Some(url), region) if core.config.bucket_endpoints => {
                let first = of_provider().next().map_or_else(|| OriginConfig::s3(""), |e| e.config.clone());
                let region = region.map_or_else(|| first.region.clone(), str::to_owned);
                let config =
                    OriginConfig { provider: bucket.provider, endpoint: url.into(), region, ..first };
                Ok(vec![self.own(&config)?])
            }
            _ => {
                let wanted = wanted.unwrap_or(bucket.provider.as_str()).to_owned();
                Err(OriginError::NotConfigured { bucket: bucket.canonical(), wanted })
            }
        }
    }

    /// The endpoint of a configuration that a bucket's properties made.
    fn own(&self, config: &OriginConfig) -> Result<Arc<Endpoint>, OriginError> {
        let key = (config.endpoint.clone(), config.region.clone());
        let mut own = self.core.routes.own.lock();
        if let Some(endpoint) = own.get(&key) {
            return Ok(endpoint.clone());
        }
        let endpoint = Arc::new(Endpoint::new(config)?);
        if own.len() >= BUCKETS_MAX {
            own.clear();
        }
        own.insert(key, endpoint.clone());
        Ok(endpoint)
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
            let mut answer = match self.ask(endpoint, &ask).await {
                Ok(response) => self.accept(About::bucket(bucket), response).await,
                Err(error) => Err(error),
            };
            if let Err(OriginError::Failed { status: 400, .. }) = answer {
                answer = self.explained(bucket, endpoint, answer).await;
            }
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

    /// The answer to HEAD has no body, so that a 400 does not say what is bad: the name (then the bucket is not there)
    /// or the request. A listing of nothing does, and needs the same right.
    async fn explained<T>(
        &self,
        bucket: &RemoteBucket,
        endpoint: &Endpoint,
        answer: Result<T, OriginError>,
    ) -> Result<T, OriginError> {
        let query = [("list-type", "2"), ("max-keys", "0")];
        let ask =
            Ask { method: Method::GET, bucket: Some(&bucket.name), key: "", query: &query, headers: vec![] };
        match self.ask(endpoint, &ask).await {
            Ok(response) => match self.accept(About::bucket(bucket), response).await {
                Err(error) if error.is_absence() => Err(error),
                _ => answer,
            },
            Err(_) => answer,
        }
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
