//! Grants, bounds, panics and the end.

use weir_auth::{Credentials, Gate, Secret};
use weir_cluster::BucketPropsPatch;
use weir_types::Access;

use super::memory::{ais, aws};
use super::{Node, action, block_on};
use crate::ControlError;

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn guarded() -> Node {
    let secret = Secret::new(KEY);
    Node::with_gate(Gate::new(Credentials { access_keys: Vec::new(), token_key: Some(secret) }).unwrap())
}

/// A request by the holder of a token with these rights.
fn with(node: &Node, access: Access, request: &str) -> String {
    let token = node.gate.issue("somebody", access, 3600, 1_000_000).unwrap();
    format!("{request}\nAuthorization: Bearer {token}")
}

#[test]
fn every_request_needs_its_right() {
    let node = guarded();
    node.ok(&with(&node, Access::ALL, "POST /v1/buckets/b1?provider=ais"), &action("create-bck", "null"));
    node.memory.at_origin(&aws("far"), &["a"]);
    let list = action("list", "{}");
    let promote = r#"{"action":"promote","name":"/p/f","value":{"src":"/p/f"}}"#;
    let rows: [(&str, &str, Access); 14] = [
        ("POST /v1/objects/b1?provider=ais", promote, Access::PROMOTE),
        ("GET /v1/daemon?what=smap", "", Access::SHOW_CLUSTER),
        ("GET /v1/cluster?what=cluster_config", "", Access::SHOW_CLUSTER),
        ("GET /metrics", "", Access::SHOW_CLUSTER),
        ("PUT /v1/cluster/set-config?checksum.type=md5", "", Access::ADMIN),
        ("GET /v1/buckets?provider=ais", "", Access::LIST_BUCKETS),
        ("HEAD /v1/buckets/b1?provider=ais", "", Access::HEAD_BUCKET),
        ("GET /v1/buckets/b1?provider=ais", &list, Access::LIST_OBJECTS),
        ("PATCH /v1/buckets/b1?provider=ais", r#"{"action":"set-bprops","value":{}}"#, Access::PATCH),
        ("GET /", "", Access::LIST_BUCKETS),
        ("GET /b1", "", Access::LIST_OBJECTS),
        ("HEAD /far", "", Access::HEAD_BUCKET),
        ("PUT /bkt", "", Access::CREATE_BUCKET),
        ("DELETE /bkt", "", Access::DESTROY_BUCKET),
    ];
    for (request, body, access) in rows {
        let others = Access(Access::ALL.0 & !access.0 & !Access::ADMIN.0);
        let (status, text) = node.get(&with(&node, others, request), body);
        assert_eq!(status, 403, "{request} without {access:?}: {text}");
        assert!(
            node.handle.view().bmd.get(&aws("far")).is_none()
                || request == "DELETE /bkt"
                || request == "PUT /bkt"
        );
        let (status, text) = node.get(&with(&node, access, request), body);
        assert!(status < 300, "{request} with {access:?}: {status} {text}");
    }
}

#[test]
fn a_buckets_mask_holds_for_everyone_but_can_be_lifted() {
    let node = guarded();
    let all = |request: &str| with(&node, Access(Access::ALL.0 & !Access::ADMIN.0), request);
    node.ok(&all("POST /v1/buckets/b1?provider=ais"), &action("create-bck", "null"));
    node.ok(&all("PATCH /v1/buckets/b1?provider=ais"), &action("set-bprops", r#"{"access":"256"}"#));
    let (status, text) = node.get(&all("GET /v1/buckets/b1?provider=ais"), &action("list", "{}"));
    assert_eq!((status, text.contains("ErrBucketAccessDenied")), (403, true), "{text}");
    assert_eq!(node.get(&all("GET /b1"), "").0, 403);
    assert_eq!(node.get(&all("POST /b1?delete"), "<Delete><Object><Key>o</Key></Object></Delete>").0, 403);
    assert_eq!(node.get(&all("HEAD /v1/buckets/b1?provider=ais"), "").0, 200);
    assert_eq!(node.get(&all("DELETE /v1/buckets/b1?provider=ais"), &action("destroy-bck", "null")).0, 403);
    node.ok(&all("PATCH /v1/buckets/b1?provider=ais"), &action("set-bprops", r#"{"access":"su"}"#));
    assert_eq!(node.get(&all("GET /b1"), "").0, 200);
}

#[test]
fn typed_calls_run_on_any_executor() {
    let node = Node::start();
    node.memory.at_origin(&aws("far"), &[]);
    let nothing = || BucketPropsPatch::new([], false).unwrap();
    let before = node.handle.view().index;
    let info = futures_executor(node.handle.create_bucket(ais("b"), nothing())).unwrap();
    let view = node.handle.view();
    assert!(view.index > before && view.bmd.get(&ais("b")) == Some(&info));
    let again = futures_executor(node.handle.create_bucket(ais("b"), nothing())).unwrap_err();
    assert!(matches!(again, ControlError::Refused(crate::Refused::BucketExists(_))));
    let far = futures_executor(node.handle.add_remote_bucket(aws("far"))).unwrap();
    assert_eq!(node.handle.view().bmd.get(&aws("far")), Some(&far));
    let (found, _) = futures_executor(node.handle.bucket_by_name(aws("far").name)).unwrap().unwrap();
    assert_eq!(found, aws("far"));
    assert!(futures_executor(node.handle.bucket_by_name(ais("none").name)).unwrap().is_none());
    assert!(futures_executor(node.handle.add_remote_bucket(aws("none"))).is_err());
    futures_executor(node.handle.destroy_bucket(ais("b"))).unwrap();
    assert!(node.handle.view().bmd.get(&ais("b")).is_none());
}

/// No runtime at all: parks the thread until woken.
fn futures_executor<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(out) => return out,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Who reads views while buckets come and go sees indexes and versions that never go back.
#[test]
fn published_views_only_grow() {
    let node = Node::start();
    let (views, stop) = (node.handle.views(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let over = stop.clone();
    let reader = std::thread::spawn(move || {
        let (mut last, mut seen) = (views.load_full(), 0);
        while !over.load(std::sync::atomic::Ordering::Acquire) {
            let view = views.load_full();
            assert!(view.index >= last.index && view.bmd.version >= last.bmd.version);
            assert!(view.index > last.index || *view == *last);
            seen += usize::from(view.index > last.index);
            last = view;
        }
        (seen, views.load_full().bmd.version)
    });
    let nothing = || BucketPropsPatch::new([], false).unwrap();
    for _ in 0..30 {
        block_on(node.handle.create_bucket(ais("b"), nothing())).unwrap();
        block_on(node.handle.destroy_bucket(ais("b"))).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Release);
    let (seen, version) = reader.join().unwrap();
    assert_eq!(version, 60);
    assert!(seen > 0);
}

#[test]
fn a_panic_is_one_answer_and_no_more() {
    let node = Node::start();
    assert_eq!(node.get("PUT /bkt", "").0, 200);
    let body = "<Delete><Object><Key>panic</Key></Object></Delete>";
    assert_eq!(node.get("POST /bkt?delete", body).0, 500);
    assert_eq!(node.get("GET /bkt", "").0, 200);
}

#[test]
fn a_stop_answers_what_it_took_and_takes_no_more() {
    let node = Node::start();
    let answers: Vec<_> = (0..50)
        .map(|i| node.submit(&format!("POST /v1/buckets/b{i}?provider=ais"), &action("create-bck", "null")))
        .collect();
    node.handle.join();
    for answer in answers {
        assert_eq!(block_on(answer).unwrap().status, 200);
    }
    let late = block_on(node.handle.destroy_bucket(ais("b1")));
    assert!(matches!(late, Err(ControlError::Stopped)));
    let node = node.restarted();
    assert_eq!(node.handle.view().bmd.iter().count(), 50);
}
