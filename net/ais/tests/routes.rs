//! Requests as clients send them, and what they mean.

use weir_ais::{AisOp, GetArgs, HeadArgs, HeadProps, HealthQuery, ObjectOp, Presence, What, claims, route};
use weir_http::Method;

/// The bucket, the object and the operation.
fn object(method: Method, path: &str, query: &str) -> Result<(String, String, ObjectOp), String> {
    match route(method, path, query) {
        Ok(AisOp::Object { bucket, object, op, .. }) => Ok((bucket.to_string(), object.to_string(), op)),
        Ok(other) => Err(format!("{other:?}")),
        Err(e) => Err(format!("{} {e}", e.status())),
    }
}

fn get(latest: bool) -> ObjectOp {
    ObjectOp::Get(GetArgs { latest, silent: false })
}

#[test]
fn objects() {
    let put = || ObjectOp::Put { skip_vc: false };
    let rows: Vec<(Method, &str, &str, &str, &str, ObjectOp)> = vec![
        (Method::Get, "/v1/objects/b1/dir/o%201", "provider=ais", "ais://b1", "dir/o 1", get(false)),
        (Method::Get, "/v1/objects/b1/o", "provider=aws&latest-ver=true", "s3://b1", "o", get(true)),
        (Method::Get, "/v1/objects/b1/o", "archpath=&archregx=&etl_name=", "ais://b1", "o", get(false)),
        (Method::Get, "/gs/b1/a/b", "", "gs://b1", "a/b", get(false)),
        (Method::Get, "/ais/b1/a//b", "", "ais://b1", "a//b", get(false)),
        (Method::Get, "/v1/objects/b1/..%2f..%2fetc", "", "ais://b1", "../../etc", get(false)),
        (Method::Get, "/v1/objects/b1/a+b", "", "ais://b1", "a+b", get(false)),
        (Method::Put, "/az/b1/dir/", "", "az://b1", "dir/", put()),
        (Method::Put, "/v1/objects/b1/o", "provider=ais&pid=p1&utm=1", "ais://b1", "o", put()),
        (Method::Put, "/v1/objects/b1/o", "skip_vc=true", "ais://b1", "o", ObjectOp::Put { skip_vc: true }),
        (
            Method::Put,
            "/v1/objects/b1/o",
            "provider=ais&uploadId=u1&partNumber=3",
            "ais://b1",
            "o",
            ObjectOp::PutPart { upload: "u1".into(), part: 3 },
        ),
        (Method::Delete, "/v1/objects/b1/o", "", "ais://b1", "o", ObjectOp::Delete { upload: None }),
        (
            Method::Patch,
            "/v1/objects/b1/o",
            "set-new-custom=True",
            "ais://b1",
            "o",
            ObjectOp::Patch { replace: true },
        ),
        (
            Method::Post,
            "/v1/objects/b1/o",
            "uploadId=u1",
            "ais://b1",
            "o",
            ObjectOp::Post { upload: Some("u1".into()) },
        ),
        (
            Method::Head,
            "/v1/objects/b1/o",
            "provider=ais",
            "ais://b1",
            "o",
            ObjectOp::Head(HeadArgs { presence: Presence::Exists, latest: false, props: None }),
        ),
        (
            Method::Head,
            "/v1/objects/b1/o",
            "props=name%2Csize&archpath=x&etl_name=y&presence=2",
            "ais://b1",
            "o",
            ObjectOp::Head(HeadArgs {
                presence: Presence::Present,
                latest: false,
                props: Some(HeadProps::default()),
            }),
        ),
    ];
    for (method, path, query, bucket, name, op) in rows {
        assert_eq!(
            object(method, path, query),
            Ok((bucket.into(), name.into(), op)),
            "{method} {path}?{query}"
        );
    }
}

#[test]
fn copies_and_appends() {
    let (_, _, op) = object(
        Method::Put,
        "/v1/objects/b/o",
        "object_to=ais%2F%40%23%2Fdst%2Fn&latest-ver=false&synchronize=false",
    )
    .unwrap();
    let ObjectOp::Copy { to, name, latest } = op else { panic!("{op:?}") };
    assert_eq!((to.to_string().as_str(), name.as_str(), latest), ("ais://dst", "n", false));

    let begin = object(Method::Put, "/v1/objects/b/o", "append_type=append&append_handle=").unwrap().2;
    assert_eq!(begin, ObjectOp::Append { handle: None });
    let handle = "t1t1t1t1%7C0a1b%7C3%7C00000000000000ff";
    for (kind, flush) in [("append", false), ("flush", true)] {
        let query = format!("append_type={kind}&append_handle={handle}");
        let (handle, flushed) = match object(Method::Put, "/v1/objects/b/o", &query).unwrap().2 {
            ObjectOp::Append { handle: Some(handle) } => (handle, false),
            ObjectOp::Flush { handle } => (handle, true),
            other => panic!("{other:?}"),
        };
        assert_eq!((handle.upload.as_str(), handle.parts, flushed), ("0a1b", 3, flush));
        assert_eq!(handle.to_string(), "t1t1t1t1|0a1b|3|00000000000000ff");
    }
}

#[test]
fn refused() {
    let long = format!("/v1/objects/b/{}", "n".repeat(1025));
    let rows: Vec<(Method, &str, &str, u16)> = vec![
        (Method::Get, "/v1/objects/b", "", 400),
        (Method::Get, "/v1/objects/b/", "", 400),
        (Method::Put, "/v1/objects//o", "", 400),
        (Method::Put, "/v1/objects/..%2f/o", "", 400),
        (Method::Put, "/v1/objects/b/a%00b", "", 400),
        (Method::Put, "/v1/objects/b/%ff", "", 400),
        (Method::Put, "/v1/objects/b/%zz", "", 400),
        (Method::Put, "/v1/objects/b/%c0%af", "", 400),
        (Method::Put, &long, "", 400),
        (Method::Put, "/v1/objects/b/o", "append_type=x", 400),
        (Method::Put, "/v1/objects/b/o", "append_type=flush&append_handle=", 400),
        (Method::Put, "/v1/objects/b/o", "append_type=append&append_handle=nonsense", 400),
        (
            Method::Put,
            "/v1/objects/b/o",
            "append_type=flush&append_handle=t1t1t1t1%7Cwk%2Fx%7Cmd5%7CAAA%3D",
            400,
        ),
        (Method::Put, "/v1/objects/b/o", "uploadId=u&partNumber=x", 400),
        (Method::Put, "/v1/objects/b/o", "uploadId=u&partNumber=0", 400),
        (Method::Put, "/v1/objects/b/o", "uploadId=u&partNumber=10001", 400),
        (Method::Head, "/v1/objects/b/o", "props=cached", 400),
        (Method::Head, "/v1/objects/b/o", "presence=9", 400),
        (Method::Get, "/v1/objects/b/o", "archpath=a&archregx=b", 400),
        (Method::Get, "/v1/objects/b/o", "etl_name=e", 400),
        (Method::Options, "/v1/objects/b/o", "", 405),
        (Method::Post, "/v1/buckets/", "provider=ais", 400),
        (Method::Post, "/v1/buckets/bucket/badname", "provider=ais", 400),
        (Method::Post, "/v1/buckets/bucket%20and%20name", "", 400),
        (Method::Post, "/v1/buckets/*", "", 400),
        (Method::Post, "/v1/buckets/~x", "", 400),
        (Method::Get, "/v1/buckets/b", "provider=nfs", 400),
        (Method::Head, "/v1/buckets/b/prefix", "", 400),
        (Method::Put, "/ais/b", "", 405),
        (Method::Put, "/v1/health", "", 405),
        (Method::Post, "/metrics", "", 405),
        (Method::Get, "/v1/daemon", "what=nothing", 400),
        (Method::Get, "/v1/daemon/x", "what=smap", 400),
        (Method::Get, "/v1/reverse/x", "", 400),
        (Method::Get, "/v1/nothing", "", 400),
        (Method::Get, "/v1", "", 400),
        (Method::Put, "/v1/etl", "", 400),
    ];
    for (method, path, query, status) in rows {
        let got = route(method, path, query);
        assert_eq!(
            got.as_ref().map_err(|e| e.status()).err(),
            Some(status),
            "{method} {path}?{query}: {got:?}"
        );
    }
}

#[test]
fn promotion_comes_without_an_objects_name() {
    let got = route(Method::Post, "/v1/objects/b", "provider=ais");
    assert!(matches!(&got, Ok(AisOp::ObjectsPost { bucket }) if bucket.to_string() == "ais://b"), "{got:?}");
}

#[test]
fn not_built() {
    for (method, path, query) in [
        (Method::Get, "/v1/objects/b/s.tar", "archpath=x"),
        (Method::Get, "/v1/objects/b/s.tar", "archregx=x&archmode=prefix"),
        (Method::Put, "/v1/objects/b/s.tar", "archpath=x"),
        (Method::Get, "/v1/ml/moss/b", ""),
        (Method::Post, "/v1/download", ""),
        (Method::Post, "/v1/sort", ""),
        (Method::Put, "/v1/buckets/b", ""),
        (Method::Put, "/v1/cluster/proxy/", ""),
        (Method::Post, "/v1/cluster/join-by-admin", ""),
    ] {
        let got = route(method, path, query);
        assert!(matches!(got, Ok(AisOp::Unsupported(_))), "{method} {path}?{query}: {got:?}");
    }
}

#[test]
fn everything_else() {
    let at = |method, path: &str, query: &str| route(method, path, query).map_err(|e| e.to_string());
    for (query, expected) in [
        ("", HealthQuery::Alive),
        ("prr=true", HealthQuery::PrimaryReady),
        ("readiness=true", HealthQuery::Ready),
        ("apr=true", HealthQuery::IsPrimary),
        ("cii=true", HealthQuery::State { primary: false }),
        ("cii-apr=true", HealthQuery::State { primary: true }),
    ] {
        assert_eq!(at(Method::Get, "/v1/health", query), Ok(AisOp::Health(expected)), "{query}");
    }
    assert_eq!(at(Method::Get, "/v1/daemon", "what=smap"), Ok(AisOp::Daemon(What::Smap)));
    assert_eq!(
        at(Method::Get, "/v1/reverse/daemon", "what=node_status"),
        Ok(AisOp::Reverse(What::NodeStatus))
    );
    assert_eq!(at(Method::Put, "/v1/cluster/proxy/p1", ""), Ok(AisOp::SetPrimary { gateway: "p1".into() }));
    assert_eq!(at(Method::Get, "/v1/cluster", "what=qryxstats"), Ok(AisOp::Cluster(What::JobSnaps)));
    assert_eq!(
        at(Method::Get, "/v1/reverse/daemon", "what=log&severity=Error&offset=7"),
        Ok(AisOp::Reverse(What::Log { severity: 'e', offset: 7, all: false }))
    );
    assert_eq!(
        at(Method::Put, "/v1/cluster/set-config", "checksum.type=md5&transient=true"),
        Ok(AisOp::ClusterPut {
            assignments: Some(vec![("checksum.type".into(), "md5".into())]),
            transient: true
        })
    );
    assert_eq!(
        at(Method::Put, "/v1/cluster", ""),
        Ok(AisOp::ClusterPut { assignments: None, transient: false })
    );
    assert_eq!(
        at(Method::Delete, "/v1/reverse/daemon/mountpaths", "dntres=true"),
        Ok(AisOp::Mountpaths { reverse: true, no_resilver: true, label: String::new() })
    );
    assert_eq!(
        at(Method::Put, "/v1/daemon/mountpaths", "mountpath_label=rack%201"),
        Ok(AisOp::Mountpaths { reverse: false, no_resilver: false, label: "rack 1".into() })
    );
    assert_eq!(at(Method::Post, "/v1/tokens", ""), Ok(AisOp::TokenCheck));
    assert_eq!(at(Method::Get, "/metrics", ""), Ok(AisOp::Metrics));

    for (path, query, name, provider) in [
        ("/v1/buckets", "provider=", None, None),
        ("/v1/buckets/", "provider=ais", None, Some("ais")),
        ("/v1/buckets/b", "provider=aws", Some("b"), Some("aws")),
        ("/gs", "", None, Some("gcp")),
        ("/ais/b/", "", Some("b"), Some("ais")),
    ] {
        let Ok(AisOp::BucketGet(q)) = at(Method::Get, path, query) else { panic!("{path}") };
        let got = (q.name.as_ref().map(|n| n.as_str()), q.scope.provider.map(|p| p.as_str()));
        assert_eq!(got, (name, provider), "{path}?{query}");
    }
    let Ok(AisOp::BucketHead { summary: Some(s), .. }) =
        at(Method::Head, "/v1/buckets/b/dir%2Fx", "bsumm_remote=True&uuid=u1")
    else {
        panic!()
    };
    assert_eq!((s.remote, s.prefix.as_str(), s.uuid.as_deref()), (true, "dir/x", Some("u1")));
}

#[test]
fn whose_path() {
    for (path, ais) in [
        ("/v1/objects/b/o", true),
        ("/ais/b/o", true),
        ("/gs", true),
        ("/metrics", true),
        ("/", false),
        ("/s3/b", false),
        ("/bucket/v1", false),
        ("/v1x/o", false),
    ] {
        assert_eq!(claims(path), ais, "{path}");
    }
}
