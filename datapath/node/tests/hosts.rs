//! Under which names a node without credentials serves.

mod support;

use support::{ask, start};

#[test]
fn requests_under_a_foreign_host_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &["mp1"], |config| {
        config.s3_domain = "s3.lab".into();
        config.auth.hosts = vec!["node.lab".into()];
    })
    .unwrap();
    let check = |host: &str, line: &str, status: u16| {
        let (got, body) = ask(node.addr, host, line, b"");
        assert_eq!(got, status, "{line} under {host}: {body}");
        body
    };
    check("localhost", "PUT /bucket", 200);
    check("127.0.0.1:8080", "PUT /bucket/o", 200);
    check("node.lab:80", "GET /bucket/o", 200);
    // Virtual-hosted style is a matter of the configuration and works under it.
    check("s3.lab", "GET /bucket/o", 200);
    check("bucket.s3.lab", "GET /o", 200);
    check("bucket.s3.lab", "PUT /p", 200);
    check("localhost", "GET /bucket/p", 200);
    for host in ["rebound.example", "rebound.example:8080", "s3.lab.rebound.example", "10.1.2.3"] {
        for line in ["GET /bucket/o", "GET /", "PUT /bucket/q", "DELETE /bucket/o"] {
            assert!(check(host, line, 403).contains("auth.hosts"));
        }
        assert!(check(host, "GET /v1/daemon?what=smap", 403).contains("auth.hosts"));
        check(host, "GET /metrics", 403);
    }
    check("localhost", "GET /bucket/o", 200);
    check("localhost", "GET /bucket/q", 404);
}
