//! What an origin's answer means: the one place that turns HTTP statuses and S3 codes into [`OriginError`].

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use weir_types::limits::ORIGIN_XML_BYTES_MAX;

use super::client::{Client, chain};
use super::xml::Element;
use crate::{OriginError, RemoteBucket};

/// What a request was about, for the words of an error.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) bucket: &'a RemoteBucket,
    /// Empty for the bucket itself.
    pub(super) object: &'a str,
    /// The ETag that the request insisted on.
    pub(super) if_match: Option<&'a str>,
}

impl<'a> About<'a> {
    pub(super) fn bucket(bucket: &'a RemoteBucket) -> Self {
        Self { bucket, object: "", if_match: None }
    }

    pub(super) fn object(bucket: &'a RemoteBucket, object: &'a str) -> Self {
        Self { bucket, object, if_match: None }
    }

    /// `s3://bucket` or `s3://bucket/object`.
    pub(super) fn place(&self) -> String {
        let slash = if self.object.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.bucket.canonical(), self.object)
    }

    /// The answer is not S3.
    pub(super) fn protocol(&self, expected: &'static str, got: impl Into<String>) -> OriginError {
        OriginError::Protocol { place: self.place(), expected, got: got.into() }
    }
}

impl Client {
    /// Passes an answer of success on; turns any other into its error.
    pub(super) async fn accept(
        &self,
        about: About<'_>,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, OriginError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, head) = (response.status(), response.headers().clone());
        // The body only adds words: one that does not come leaves the status to speak.
        let body = self.body(about, response).await.unwrap_or_default();
        let error = Element::parse(&body).unwrap_or_default();
        let region = head.get("x-amz-bucket-region").and_then(|v| v.to_str().ok());
        Err(meaning(about, status, &error, region, total(head.get(header::CONTENT_RANGE))))
    }

    /// A whole body of bounded size, within the stall limit between its pieces.
    pub(super) async fn body(
        &self,
        about: About<'_>,
        response: Response<Incoming>,
    ) -> Result<Vec<u8>, OriginError> {
        let mut body = Limited::new(response.into_body(), ORIGIN_XML_BYTES_MAX);
        let mut bytes = Vec::new();
        loop {
            match tokio::time::timeout(self.core.config.stall_max, body.frame()).await {
                Ok(None) => return Ok(bytes),
                Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |d| d)),
                Ok(Some(Err(error))) => return Err(about.protocol("a whole answer", chain(&*error))),
                Err(_) => {
                    return Err(
                        about.protocol("a whole answer", format!("{} bytes, then silence", bytes.len()))
                    );
                }
            }
        }
    }
}

/// The size in `Content-Range: bytes */size` or `bytes a-b/size`.
fn total(range: Option<&http::HeaderValue>) -> Option<u64> {
    range?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}

fn meaning(
    about: About<'_>,
    status: StatusCode,
    error: &Element,
    region: Option<&str>,
    size: Option<u64>,
) -> OriginError {
    let (place, code, message) = (about.place(), error.text_of("Code"), error.text_of("Message"));
    let got = [code, message].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ");
    let bucket = about.bucket.canonical();
    match status.as_u16() {
        404 if about.object.is_empty() || code == "NoSuchBucket" => OriginError::BucketNotFound { bucket },
        // AIS allows names that S3 does not: such a bucket cannot be there.
        400 if code == "InvalidBucketName" => OriginError::BucketNotFound { bucket },
        404 => OriginError::NotFound { bucket, object: about.object.into() },
        401 | 403 => {
            OriginError::Denied { place, got: if got.is_empty() { status.to_string() } else { got } }
        }
        412 => OriginError::Changed { place, expected: about.if_match.unwrap_or_default().into() },
        416 => match size {
            Some(size) => OriginError::Range { place, size },
            None => {
                let size = error.text_of("ActualObjectSize").parse().unwrap_or(0);
                OriginError::Range { place, size }
            }
        },
        301 | 307 | 400 if region.is_some() => {
            let region = region.unwrap_or_default();
            OriginError::Failed {
                place,
                status: status.as_u16(),
                got: format!("{got}; the bucket is in region {region}: configure an origin with that region"),
            }
        }
        number => OriginError::Failed { place, status: number, got },
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{Bucket, BucketName, Provider};

    use super::*;

    #[test]
    fn statuses_mean() {
        let bucket = RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new("b").unwrap()));
        let check = |object: &str, status: u16, xml: &str, expected: &str| {
            let about = About { bucket: &bucket, object, if_match: Some("e1") };
            let error = Element::parse(xml.as_bytes()).unwrap_or_default();
            let size = (status == 416).then_some(7);
            let got = meaning(about, StatusCode::from_u16(status).unwrap(), &error, None, size);
            assert!(format!("{got:?}").starts_with(expected), "{got:?}");
        };
        check("o", 404, "", "NotFound { bucket: \"s3://b\", object: \"o\"");
        check("o", 404, "<Error><Code>NoSuchKey</Code></Error>", "NotFound");
        check("o", 404, "<Error><Code>NoSuchBucket</Code></Error>", "BucketNotFound { bucket: \"s3://b\"");
        check("", 404, "", "BucketNotFound");
        check("", 400, "<Error><Code>InvalidBucketName</Code></Error>", "BucketNotFound");
        check(
            "",
            400,
            "<Error><Code>InvalidRequest</Code></Error>",
            "Failed { place: \"s3://b\", status: 400",
        );
        check(
            "o",
            403,
            "<Error><Code>AccessDenied</Code></Error>",
            "Denied { place: \"s3://b/o\", got: \"AccessDenied\"",
        );
        check("", 401, "", "Denied { place: \"s3://b\", got: \"401");
        check("o", 412, "", "Changed { place: \"s3://b/o\", expected: \"e1\"");
        check("o", 416, "", "Range { place: \"s3://b/o\", size: 7");
        check(
            "o",
            503,
            "<Error><Code>SlowDown</Code><Message>m</Message></Error>",
            "Failed { place: \"s3://b/o\", status: 503, got: \"SlowDown: m\"",
        );
    }

    #[test]
    fn content_range_totals() {
        let check = |text: &'static str, expected| {
            assert_eq!(total(Some(&http::HeaderValue::from_static(text))), expected, "{text}");
        };
        check("bytes */10", Some(10));
        check("bytes 0-4/10", Some(10));
        check("bytes 0-4/*", None);
        check("x", None);
    }
}
