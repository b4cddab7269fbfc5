use std::sync::atomic::Ordering;

use super::Node;
use super::memory::{ais, aws};
use crate::Upload;

fn bucket(node: &Node, name: &str) {
    let answer = node.ask(&format!("PUT /{name}"), "");
    assert_eq!((answer.status, answer.header("location")), (200, Some(format!("/{name}").as_str())));
}

/// The texts of all elements of this name.
fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(text, _)| text.to_owned())
        .collect()
}

fn error(node: &Node, request: &str, body: &str, status: u16, code: &str) {
    let (got, xml) = node.get(request, body);
    assert_eq!((got, texts(&xml, "Code")), (status, vec![code.to_owned()]), "{request}: {xml}");
    assert_eq!(texts(&xml, "RequestId"), ["r1"]);
}

#[test]
fn life_of_a_bucket() {
    let node = Node::start();
    bucket(&node, "bkt");
    let created =
        |node: &Node| node.handle.view().bmd.get(&ais("bkt")).map(|info| (info.bid, info.created_ns));
    let before = created(&node);
    bucket(&node, "bkt");
    assert_eq!(created(&node), before);
    let head = node.ask("HEAD /bkt", "");
    assert_eq!((head.status, head.header("x-amz-bucket-region")), (200, Some("us-east-1")));
    let (_, xml) = node.get("GET /", "");
    assert_eq!(texts(&xml, "Name"), ["bkt"]);
    node.memory.put(&ais("bkt"), "o", 1);
    error(&node, "DELETE /bkt", "", 409, "BucketNotEmpty");
    let delete = "<Delete><Object><Key>o</Key></Object><Object><Key>none</Key></Object></Delete>";
    let (status, xml) = node.get("POST /bkt?delete", delete);
    assert_eq!((status, texts(&xml, "Key")), (200, vec!["o".into(), "none".into()]));
    assert_eq!(node.ask("DELETE /s3/bkt", "").status, 204);
    error(&node, "DELETE /bkt", "", 404, "NoSuchBucket");
    error(&node, "GET /bkt", "", 404, "NoSuchBucket");
    let head = node.ask("HEAD /bkt", "");
    assert_eq!((head.status, head.body.len()), (404, 0));
}

#[test]
fn an_object_that_arrives_during_a_removal_keeps_its_bucket() {
    let node = Node::start();
    bucket(&node, "bkt");
    *node.memory.under_way.lock() = Some("late".into());
    error(&node, "DELETE /bkt", "", 409, "BucketNotEmpty");
    assert_eq!(node.memory.names(&ais("bkt")), ["late"]);
    assert_eq!(node.handle.view().bmd.takes_objects(&ais("bkt")), Ok(()), "the mark is gone");
    assert!(node.memory.removed.lock().is_empty());
}

#[test]
fn a_removal_that_did_not_end_holds_the_name_until_it_has() {
    let node = Node::start();
    bucket(&node, "bkt");
    node.memory.stuck.store(true, Ordering::Relaxed);
    error(&node, "DELETE /bkt", "", 503, "SlowDown");
    error(&node, "GET /bkt", "", 404, "NoSuchBucket");
    error(&node, "PUT /bkt", "", 409, "OperationAborted");
    let node = node.restarted();
    error(&node, "PUT /bkt", "", 409, "OperationAborted");
    node.memory.stuck.store(false, Ordering::Relaxed);
    let node = node.restarted();
    assert_eq!(*node.memory.removed.lock(), [ais("bkt")]);
    bucket(&node, "bkt");
}

#[test]
fn a_mark_that_an_earlier_life_left_on_a_bucket_goes() {
    let node = Node::start();
    bucket(&node, "bkt");
    let mark = crate::Command::BeginRemoval { bucket: ais("bkt"), bid: None };
    super::block_on(node.handle.propose(mark.clone())).unwrap();
    assert!(node.handle.view().bmd.takes_objects(&ais("bkt")).is_err());
    assert!(super::block_on(node.handle.propose(mark)).is_err());
    error(&node, "DELETE /bkt", "", 409, "OperationAborted");
    let node = node.restarted();
    assert_eq!(node.handle.view().bmd.takes_objects(&ais("bkt")), Ok(()));
    assert!(node.memory.removed.lock().is_empty());
}

#[test]
fn subresources() {
    let node = Node::start();
    bucket(&node, "bkt");
    let (status, xml) = node.get("GET /bkt?location", "");
    assert!(status == 200 && xml.contains("LocationConstraint"), "{xml}");
    let (status, xml) = node.get("GET /bkt?versioning", "");
    assert_eq!((status, texts(&xml, "Status").len()), (200, 0));
    let versioning = |status: &str| {
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>")
    };
    assert_eq!(node.get("PUT /bkt?versioning", &versioning("Suspended")).0, 200);
    error(&node, "PUT /bkt?versioning", &versioning("Enabled"), 501, "NotImplemented");
    let (status, xml) = node.get("GET /bkt?acl", "");
    assert_eq!((status, texts(&xml, "Permission")), (200, vec!["FULL_CONTROL".into()]));
    assert_eq!(node.get("PUT /bkt?acl", "").0, 200);
    let grant = |who: &str| {
        format!(
            "<AccessControlPolicy><AccessControlList><Grant><Grantee>{who}</Grantee>\
             <Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"
        )
    };
    assert_eq!(node.get("PUT /bkt?acl", &grant("<ID>weir</ID>")).0, 200);
    error(&node, "PUT /bkt?acl", &grant("<ID>other</ID>"), 400, "InvalidArgument");
    let mail = grant("<EmailAddress>a@b</EmailAddress>");
    error(&node, "PUT /bkt?acl", &mail, 400, "UnresolvableGrantByEmailAddress");
    error(&node, "PUT /bkt?acl", &grant("<URI>all</URI>"), 501, "NotImplemented");
    error(&node, "PUT /bkt?object-lock", "", 409, "InvalidBucketState");
    error(&node, "GET /bkt?tagging", "", 404, "NoSuchTagSet");
    error(&node, "GET /bkt?policy", "", 404, "NoSuchBucketPolicy");
    error(&node, "GET /none?acl", "", 404, "NoSuchBucket");
}

#[test]
fn listings() {
    let node = Node::start();
    bucket(&node, "bkt");
    for name in ["a", "d/1", "d/2", "e", "f/1"] {
        node.memory.put(&ais("bkt"), name, 5);
    }
    let (_, xml) = node.get("GET /bkt?list-type=2", "");
    assert_eq!(texts(&xml, "Key"), ["a", "d/1", "d/2", "e", "f/1"]);
    assert_eq!(texts(&xml, "Size")[0], "5");
    assert_eq!(texts(&xml, "ETag")[0].replace("&quot;", "\""), format!("\"{}\"", "07".repeat(16)));
    let (mut keys, mut prefixes, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let after = if token.is_empty() { String::new() } else { format!("&continuation-token={token}") };
        let (_, xml) = node.get(&format!("GET /bkt?list-type=2&delimiter=%2F&max-keys=1{after}"), "");
        keys.extend(texts(&xml, "Key"));
        prefixes.extend(texts(&xml, "CommonPrefixes").iter().flat_map(|p| texts(p, "Prefix")));
        match texts(&xml, "NextContinuationToken").pop() {
            Some(next) => token = next,
            None => break,
        }
    }
    assert_eq!(
        (keys.as_slice(), prefixes.as_slice()),
        (&["a".to_owned(), "e".into()][..], &["d/".to_owned(), "f/".into()][..])
    );
    let (_, xml) = node.get("GET /bkt?marker=d%2F2", "");
    assert_eq!(texts(&xml, "Key"), ["e", "f/1"]);
    let (_, xml) = node.get("GET /bkt?max-keys=0", "");
    assert_eq!(texts(&xml, "IsTruncated"), ["false"]);
    let (_, xml) = node.get("GET /bkt?versions&prefix=d%2F", "");
    assert_eq!((texts(&xml, "Key").len(), texts(&xml, "VersionId")), (2, vec!["null".into(), "null".into()]));
    let upload = |key: &str, id: &str| Upload {
        key: weir_types::ObjectName::new(key).unwrap(),
        id: id.into(),
        initiated_ns: 1,
    };
    *node.memory.uploads.lock() = vec![upload("k", "2"), upload("j", "9"), upload("k", "1")];
    let (_, xml) = node.get("GET /bkt?uploads", "");
    assert_eq!(texts(&xml, "UploadId"), ["9", "1", "2"]);
}

#[test]
fn deletes_have_outcomes_of_their_own() {
    let node = Node::start();
    bucket(&node, "bkt");
    node.memory.put(&ais("bkt"), "o", 1);
    node.memory.put(&ais("bkt"), "p", 1);
    let long = "x".repeat(1025);
    let body = format!(
        "<Delete><Quiet>true</Quiet><Object><Key>o</Key><ETag>\"bad\"</ETag></Object><Object><Key>p</Key></Object>\
         <Object><Key>{long}</Key></Object></Delete>"
    );
    let (status, xml) = node.get("POST /bkt?delete", &body);
    assert_eq!(status, 200);
    assert_eq!(texts(&xml, "Code"), ["PreconditionFailed", "KeyTooLongError"]);
    assert!(texts(&xml, "Deleted").is_empty());
    assert_eq!(node.memory.names(&ais("bkt")), ["o"]);
    error(&node, "POST /bkt?delete", "<Delete></Delete>", 400, "MalformedXML");
}

#[test]
fn remote_buckets_have_their_own_names() {
    let node = Node::start();
    node.memory.at_origin(&aws("far"), &["a", "b"]);
    let (_, xml) = node.get("GET /", "");
    assert_eq!(texts(&xml, "Name"), ["far"]);
    assert!(node.handle.view().bmd.get(&aws("far")).is_none());
    let (_, xml) = node.get("GET /far?max-keys=1", "");
    assert_eq!((texts(&xml, "Key"), texts(&xml, "IsTruncated")), (vec!["a".into()], vec!["true".into()]));
    assert!(node.handle.view().bmd.get(&aws("far")).is_some());
    error(&node, "DELETE /far", "", 501, "NotImplemented");
    error(&node, "PUT /far", "", 409, "BucketAlreadyOwnedByYou");
    // One name, two providers: this API cannot tell which is meant.
    node.ok("POST /v1/buckets/far?provider=ais", &super::action("create-bck", "null"));
    error(&node, "GET /far", "", 400, "InvalidRequest");
    node.memory.origin_down.store(true, std::sync::atomic::Ordering::Relaxed);
    error(&node, "GET /unknown", "", 503, "ServiceUnavailable");
}
