//! A remote bucket is where its properties say, for every question about it.

#[path = "../../origin/tests/support/server.rs"]
#[allow(dead_code, reason = "each test uses some of it")]
mod server;
mod support;

use server::Server;
use support::{Running, start};
use weir_node::OriginConfig;

fn listed(node: &Running) -> [String; 2] {
    let action = br#"{"action":"list","value":{"props":"name,size"}}"#;
    let (status, ais) = node.ask("GET /v1/buckets/same?provider=aws", action);
    assert_eq!(status, 200, "{ais}");
    let (status, s3) = node.ask("GET /same?list-type=2", b"");
    assert_eq!(status, 200, "{s3}");
    [ais, s3]
}

/// Both listings show `shown` and not `hidden`.
fn check(node: &Running, shown: &str, hidden: &str) {
    for text in listed(node) {
        assert!(text.contains(shown) && !text.contains(hidden), "{shown}: {text}");
    }
    for line in [format!("HEAD /same/{shown}"), format!("HEAD /v1/objects/same/{shown}?provider=aws")] {
        assert_eq!(node.ask(&line, b"").0, 200, "{line}");
    }
    assert_eq!(node.ask(&format!("GET /same/{shown}"), b""), (200, format!("of {shown}")));
    assert_eq!(node.ask(&format!("GET /same/{hidden}"), b"").0, 404);
}

#[test]
fn a_bucket_is_listed_where_its_properties_say() {
    let (first, second) = (Server::start(), Server::start());
    first.put("same", "object-1", b"of object-1");
    second.put("same", "object-2", b"of object-2");
    second.put("only-second", "x", b"x");
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &["mp1"], |config| {
        let origin = |server: &Server| OriginConfig {
            provider: "s3".into(),
            endpoint: server.url(),
            ..OriginConfig::default()
        };
        config.origins = vec![origin(&first), origin(&second)];
    })
    .unwrap();
    let to = |server: &Server| {
        format!(r#"{{"extra":{{"aws":{{"endpoint":"{}","cloud_region":"eu-west-1"}}}}}}"#, server.url())
    };
    check(&node, "object-1", "object-2");
    let set = format!(r#"{{"action":"set-bprops","value":{}}}"#, to(&second));
    let (status, text) = node.ask("PATCH /v1/buckets/same?provider=aws", set.as_bytes());
    assert_eq!(status, 200, "{text}");
    // The copy of the other endpoint's object that was read above goes first: it is here, whatever the origin has.
    let evict = br#"{"action":"evict-remote-bck"}"#;
    assert_eq!(node.ask("DELETE /v1/buckets/same?provider=aws&keep_bck_md=true", evict).0, 200);
    check(&node, "object-2", "object-1");
    // A bucket made with a property is looked for at that endpoint alone.
    let create = |server: &Server| {
        let body = format!(r#"{{"action":"create-bck","value":{}}}"#, to(server));
        node.ask("POST /v1/buckets/only-second?provider=aws", body.as_bytes()).0
    };
    assert_eq!(create(&first), 501);
    assert_eq!(create(&second), 200);
}
