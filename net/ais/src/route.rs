//! From method, path and query to an operation. The path is taken apart before it is decoded, so that an encoded
//! slash in a bucket's name stays one; an object's name is all that follows the bucket, exactly as sent.

use std::borrow::Cow;

use weir_http::{Method, percent_decode};
use weir_types::{BucketName, ObjectName, Provider};

use crate::error::Unsupported;
use crate::op::{AisOp, BucketQuery, GetArgs, HeadArgs, HeadSummary, HealthQuery, ObjectOp, What};
use crate::{AisError, AppendHandle, HeadProps, Query};

/// Whether a path belongs to the AIS API; every other path is S3's.
pub fn claims(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    matches!(path.split('/').next(), Some("v1" | "gs" | "az" | "ais" | "metrics"))
}

/// Names the operation. `path` and `query` are as on the wire.
pub fn route(method: Method, path: &str, query: &str) -> Result<AisOp, AisError> {
    let query = Query::parse(query)?;
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match first {
        "v1" => {}
        "metrics" => return only(method, &[Method::Get, Method::Head], "GET, HEAD").map(|()| AisOp::Metrics),
        "gs" | "az" | "ais" => return easy_url(method, first, rest, &query),
        _ => return Err(unknown(path)),
    }
    let (level, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match level {
        "objects" => objects(method, rest, &query, None),
        "buckets" => buckets(method, rest, &query, None),
        "health" => {
            only(method, &[Method::Get, Method::Head], "GET, HEAD").map(|()| AisOp::Health(health(&query)))
        }
        "daemon" => daemon(method, rest, &query, false),
        "reverse" => match rest.strip_prefix("daemon") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                daemon(method, rest.strip_prefix('/').unwrap_or(rest), &query, true)
            }
            _ => Err(unknown(path)),
        },
        "cluster" => cluster(method, rest, &query),
        "tokens" => match method {
            Method::Post => Ok(AisOp::TokenCheck),
            Method::Delete => unsupported("revoke", "tokens"),
            _ => Err(AisError::Method { method: method.as_str(), allow: "POST, DELETE" }),
        },
        "etl" => Err(AisError::KubernetesRequired),
        "download" | "sort" => unsupported(level, "objects"),
        "ml" => unsupported("get-batch", "objects"),
        _ => Err(unknown(path)),
    }
}

fn unknown(path: &str) -> AisError {
    AisError::Path { path: path.into() }
}

fn unsupported(action: &str, what: impl Into<String>) -> Result<AisOp, AisError> {
    Ok(AisOp::Unsupported(Unsupported::new(action, what)))
}

fn only(method: Method, served: &[Method], allow: &'static str) -> Result<(), AisError> {
    if served.contains(&method) { Ok(()) } else { Err(AisError::Method { method: method.as_str(), allow }) }
}

/// `/gs/B/O` and its like: the long form with the provider given.
fn easy_url(method: Method, scheme: &str, rest: &str, query: &Query<'_>) -> Result<AisOp, AisError> {
    let provider = Provider::parse(scheme);
    match rest.split_once('/') {
        Some((_, object)) if !object.is_empty() => objects(method, rest, query, provider),
        _ => {
            only(method, &[Method::Get, Method::Head], "GET, HEAD")?;
            buckets(method, rest, query, provider)
        }
    }
}

fn objects(
    method: Method,
    rest: &str,
    query: &Query<'_>,
    forced: Option<Provider>,
) -> Result<AisOp, AisError> {
    let (bucket, object) = rest.split_once('/').unwrap_or((rest, ""));
    let mut bucket = query.bucket(&percent_decode(bucket)?)?;
    bucket.provider = forced.unwrap_or(bucket.provider);
    if object.is_empty() {
        return match method {
            // `promote` and `blob-download` alone come without an object's name.
            Method::Post => Ok(AisOp::ObjectsPost { bucket }),
            _ => Err(AisError::Bad(format!("{method} {bucket}: expected an object name after the bucket"))),
        };
    }
    let object = ObjectName::new(percent_decode(object)?.into_owned())?;
    let op = match method {
        Method::Get => get(query, &bucket, &object)?,
        Method::Head => Ok(ObjectOp::Head(HeadArgs {
            presence: query.presence()?,
            latest: query.flag("latest-ver"),
            props: query.get("props").map(|list| HeadProps::parse(&list)).transpose()?,
        })),
        Method::Put => put(query, &bucket, &object)?,
        Method::Delete => Ok(ObjectOp::Delete { upload: upload(query) }),
        Method::Patch => Ok(ObjectOp::Patch { replace: query.flag("set-new-custom") }),
        Method::Post => Ok(ObjectOp::Post { upload: upload(query) }),
        Method::Options => {
            return Err(AisError::Method { method: "OPTIONS", allow: "GET, HEAD, PUT, POST, DELETE, PATCH" });
        }
    };
    match op {
        Ok(op) => Ok(AisOp::Object { bucket, object, op, marker: query.marker() }),
        Err(unsupported) => Ok(AisOp::Unsupported(unsupported)),
    }
}

fn upload(query: &Query<'_>) -> Option<String> {
    query.text("uploadId").map(Cow::into_owned)
}

/// What AIS serves and we do not is the inner error; what makes no sense the outer.
type Served<T> = Result<Result<T, Unsupported>, AisError>;

fn get(query: &Query<'_>, bucket: &weir_types::Bucket, object: &ObjectName) -> Served<ObjectOp> {
    let (path, regex) = (query.text("archpath"), query.text("archregx"));
    if path.is_some() && regex.is_some() {
        return Err(AisError::Bad("archpath and archregx exclude each other".into()));
    }
    if query.text("etl_name").is_some() || query.text("etl_pipeline").is_some() {
        return Err(AisError::KubernetesRequired);
    }
    if path.is_some() || regex.is_some() {
        return Ok(Err(Unsupported::new("read archived files of", format!("{bucket}/{object}"))));
    }
    Ok(Ok(ObjectOp::Get(GetArgs { latest: query.flag("latest-ver"), silent: query.flag("sln") })))
}

fn put(query: &Query<'_>, bucket: &weir_types::Bucket, object: &ObjectName) -> Served<ObjectOp> {
    if let Some(kind) = query.text("append_type") {
        let handle = query.text("append_handle").map(|h| AppendHandle::parse(&h)).transpose()?;
        return match (kind.as_ref(), handle) {
            ("append", handle) => Ok(Ok(ObjectOp::Append { handle })),
            ("flush", Some(handle)) => Ok(Ok(ObjectOp::Flush { handle })),
            ("flush", None) => Err(AisError::Bad(format!(
                "flush of {bucket}/{object} without an append before it: expected an append handle"
            ))),
            _ => Err(AisError::Bad(format!("invalid append_type {kind:?}: expected append or flush"))),
        };
    }
    if let Some(upload) = upload(query) {
        let number = query.get("partNumber").unwrap_or_default();
        let part = number.parse().ok().filter(|n| (1..=weir_types::limits::PARTS_MAX).contains(n));
        let part = part.ok_or_else(|| {
            let max = weir_types::limits::PARTS_MAX;
            AisError::Bad(format!("invalid partNumber {number:?}: expected 1 to {max}"))
        })?;
        return Ok(Ok(ObjectOp::PutPart { upload, part }));
    }
    if query.text("etl_name").is_some() || query.text("etl_pipeline").is_some() {
        return Err(AisError::KubernetesRequired);
    }
    if let Some((to, name)) = query.object_to()? {
        if query.flag("synchronize") {
            return Ok(Err(Unsupported::new("synchronize", format!("{bucket}/{object}"))));
        }
        return Ok(Ok(ObjectOp::Copy { to, name, latest: query.flag("latest-ver") }));
    }
    if query.text("archpath").is_some() {
        return Ok(Err(Unsupported::new("archive to", format!("{bucket}/{object}"))));
    }
    Ok(Ok(ObjectOp::Put { skip_vc: query.flag("skip_vc") }))
}

fn buckets(
    method: Method,
    rest: &str,
    query: &Query<'_>,
    forced: Option<Provider>,
) -> Result<AisOp, AisError> {
    let (name, after) = rest.split_once('/').unwrap_or((rest, ""));
    let name = percent_decode(name)?;
    let with_provider = || {
        let mut bucket = query.bucket(&name)?;
        bucket.provider = forced.unwrap_or(bucket.provider);
        Ok::<_, AisError>(bucket)
    };
    if !after.is_empty() && method != Method::Head {
        return Err(AisError::Bad(format!("expected one bucket name, got {rest:?}")));
    }
    Ok(match method {
        Method::Get => {
            let mut scope = query.scope()?;
            scope.provider = forced.or(scope.provider);
            let name = (!name.is_empty()).then(|| BucketName::new(name.as_ref())).transpose()?;
            AisOp::BucketGet(BucketQuery { scope, name, presence: query.presence()? })
        }
        Method::Head => {
            let bucket = with_provider()?;
            let summary = query.text("bsumm_remote").map(|remote| -> Result<_, AisError> {
                let prefix = percent_decode(after)?.into_owned();
                let uuid = query.text("uuid").map(Cow::into_owned);
                Ok(HeadSummary { remote: crate::query::is_true(&remote), prefix, uuid })
            });
            let summary = summary.transpose()?;
            if summary.is_none() && !after.is_empty() {
                return Err(AisError::Bad(format!("expected one bucket name, got {rest:?}")));
            }
            let dont_add = query.flag("dont_add_remote_bck_md");
            AisOp::BucketHead { bucket, dont_add, presence: query.presence()?, summary }
        }
        Method::Post => AisOp::BucketPost {
            bucket: with_provider()?,
            to: query.bucket_to()?,
            presence: query.text("presence").map(|_| query.presence()).transpose()?,
            dont_head_remote: query.flag("dont_head_remote_bck"),
        },
        // PUT to a bucket makes archives of its objects.
        Method::Put => return unsupported("archive", with_provider()?.to_string()),
        Method::Patch => AisOp::BucketPatch { bucket: with_provider()? },
        Method::Delete => {
            AisOp::BucketDelete { bucket: with_provider()?, keep_md: query.flag("keep_bck_md") }
        }
        Method::Options => {
            return Err(AisError::Method { method: "OPTIONS", allow: "GET, HEAD, PUT, POST, DELETE, PATCH" });
        }
    })
}

fn health(query: &Query<'_>) -> HealthQuery {
    match () {
        () if query.flag("cii-apr") => HealthQuery::State { primary: true },
        () if query.flag("cii") => HealthQuery::State { primary: false },
        () if query.flag("prr") => HealthQuery::PrimaryReady,
        () if query.flag("apr") => HealthQuery::IsPrimary,
        () if query.flag("readiness") => HealthQuery::Ready,
        () => HealthQuery::Alive,
    }
}

/// `what=` on a node or the cluster.
fn what(query: &Query<'_>) -> Result<What, AisError> {
    let name = query.get("what").unwrap_or_default();
    Ok(match name.as_ref() {
        "smap" => What::Smap,
        "bmd" => What::Bmd,
        "config" => What::Config,
        "cluster_config" => What::ClusterConfig,
        "snode" => What::Snode,
        "sysinfo" => What::SysInfo,
        "node_stats" => What::NodeStats,
        "node_status" => What::NodeStatus,
        "metrics" => What::Metrics,
        "mountpaths" => What::Mountpaths,
        "disk" => What::Disk,
        "remote" => What::Remote,
        "backends" => What::Backends,
        "target_ips" => What::TargetIps,
        "software_version" => What::SoftwareVersion,
        "tls_certificate" => What::TlsCertificate,
        "log" => What::Log {
            severity: query
                .text("severity")
                .and_then(|s| s.chars().next())
                .map_or('i', |c| c.to_ascii_lowercase()),
            offset: query.text("offset").and_then(|o| o.parse().ok()).unwrap_or(0),
            all: query.flag("all"),
        },
        "status" => What::JobStatus,
        "status_all" => What::JobStatusAll,
        "qryxstats" | "getxstats" => What::JobSnaps,
        "running_all" => What::JobsRunning,
        other => return Err(AisError::Bad(format!("unknown query what={other:?}"))),
    })
}

fn assignments(query: &Query<'_>) -> Vec<(String, String)> {
    let named = query.pairs().filter(|(name, _)| name != "transient");
    named.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn daemon(method: Method, rest: &str, query: &Query<'_>, reverse: bool) -> Result<AisOp, AisError> {
    let rest = rest.trim_end_matches('/');
    match (method, rest) {
        (Method::Get, "") if reverse => what(query).map(AisOp::Reverse),
        (Method::Get, "") => what(query).map(AisOp::Daemon),
        (Method::Put, "" | "set-config") => {
            let assignments = (rest == "set-config").then(|| assignments(query));
            Ok(if reverse { AisOp::ReversePut { assignments } } else { AisOp::DaemonPut { assignments } })
        }
        (Method::Put | Method::Post | Method::Delete, "mountpaths") => {
            let label = query.get("mountpath_label").unwrap_or_default().into_owned();
            Ok(AisOp::Mountpaths { reverse, no_resilver: query.flag("dntres"), label })
        }
        (Method::Get | Method::Put, other) => Err(AisError::Path { path: other.into() }),
        _ => Err(AisError::Method { method: method.as_str(), allow: "GET, PUT" }),
    }
}

fn cluster(method: Method, rest: &str, query: &Query<'_>) -> Result<AisOp, AisError> {
    let rest = rest.trim_end_matches('/');
    match (method, rest) {
        (Method::Get, "") => what(query).map(AisOp::Cluster),
        (Method::Put, "" | "set-config") => Ok(AisOp::ClusterPut {
            assignments: (rest == "set-config").then(|| assignments(query)),
            transient: query.flag("transient"),
        }),
        (Method::Put, action) if action.strip_prefix("proxy/").is_some_and(|id| !id.is_empty()) => {
            let id = action.strip_prefix("proxy/").unwrap_or_default();
            Ok(AisOp::SetPrimary { gateway: percent_decode(id)?.into_owned() })
        }
        (Method::Put | Method::Post | Method::Delete, action) => {
            let action = action.split('/').next().unwrap_or_default();
            unsupported(if action.is_empty() { method.as_str() } else { action }, "cluster")
        }
        _ => Err(AisError::Method { method: method.as_str(), allow: "GET, PUT, POST, DELETE" }),
    }
}
