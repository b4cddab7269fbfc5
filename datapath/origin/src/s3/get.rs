//! HEAD and GET of an object.

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use http::{Method, Response};
use hyper::body::Incoming;
use weir_types::checksum::Hasher;
use weir_types::{ByteRange, ObjectName, RangeSpec};

use super::answer::About;
use super::client::{Ask, Client};
use super::facts;
use super::pump::Pump;
use crate::endpoint::Endpoint;
use crate::stream::{Chunks, OriginStream};
use crate::{OriginError, OriginObject, RemoteBucket};

impl Client {
    pub(crate) async fn head(
        &self,
        bucket: &RemoteBucket,
        object: &ObjectName,
    ) -> Result<OriginObject, OriginError> {
        let endpoint = self.route(bucket).await?;
        let about = About::object(bucket, object.as_str());
        let headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned())];
        let ask = Ask {
            method: Method::HEAD,
            bucket: Some(&bucket.name),
            key: object.as_str(),
            query: &[],
            headers,
        };
        let response = self.ask(&endpoint, &ask).await?;
        let response = self.note(bucket, self.accept(about, response).await)?;
        facts::whole(about, &response)
    }

    /// Resolves when the head has come and it is what was asked; the body follows from a task of its own.
    pub(crate) async fn get(
        self: Arc<Self>,
        bucket: &RemoteBucket,
        object: &ObjectName,
        range: Option<RangeSpec>,
        if_match: Option<String>,
    ) -> Result<OriginStream, OriginError> {
        // The semaphore is never closed.
        let permit = self.core.streams.clone().acquire_owned().await.map_err(|_| OriginError::Stopped)?;
        let endpoint = self.route(bucket).await?;
        let opened = self.open(&endpoint, bucket, object, range, if_match.as_deref()).await;
        let (facts, range, response) = self.note(bucket, opened)?;

        let (sender, receiver) = mpsc::channel(self.core.config.chunks_max.saturating_sub(1));
        let (alive, gone) = oneshot::channel();
        let whole = range.start == 0 && range.len == facts.size;
        let hasher = facts.checksum.as_ref().filter(|_| whole).map(|c| Hasher::new(c.kind));
        let pump = Pump {
            client: self,
            endpoint,
            bucket: bucket.clone(),
            object: object.clone(),
            facts: facts.clone(),
            range,
            sent: 0,
            resumes: 0,
            hasher,
            sender,
            permit,
        };
        tokio::spawn(pump.run(response.into_body(), gone));
        Ok(OriginStream { facts, range, chunks: Chunks { receiver, left: range.len, alive } })
    }

    /// One GET: the head checked against what was asked.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        bucket: &RemoteBucket,
        object: &ObjectName,
        range: Option<RangeSpec>,
        if_match: Option<&str>,
    ) -> Result<(OriginObject, ByteRange, Response<Incoming>), OriginError> {
        let about = About { bucket, object: object.as_str(), if_match };
        let mut headers = Vec::new();
        match range {
            // Servers refuse the checksum mode with a range, or answer with a part's.
            None => headers.push(("x-amz-checksum-mode", "ENABLED".to_owned())),
            Some(range) => headers.push(("range", range_header(range))),
        }
        headers.extend(if_match.and_then(facts::quoted_etag).map(|etag| ("if-match", etag)));
        let ask = Ask {
            method: Method::GET,
            bucket: Some(&bucket.name),
            key: object.as_str(),
            query: &[],
            headers,
        };
        let response = self.accept(about, self.ask(endpoint, &ask).await?).await?;
        let (facts, sent) = facts::ranged(about, range, &response)?;
        // Not every server knows If-Match: the ETag that came decides.
        match if_match {
            Some(expected) if facts.etag.as_deref() != Some(expected) => {
                Err(OriginError::Changed { place: about.place(), expected: expected.to_owned() })
            }
            _ => Ok((facts, sent, response)),
        }
    }
}

fn range_header(range: RangeSpec) -> String {
    match range {
        RangeSpec::From(first, Some(last)) => format!("bytes={first}-{last}"),
        RangeSpec::From(first, None) => format!("bytes={first}-"),
        RangeSpec::Last(n) => format!("bytes=-{n}"),
    }
}

/// What goes over the channel.
pub(super) type Piece = Result<Bytes, OriginError>;
