//! What must hold for any bytes: no path, query or body makes the reader fail other than by its errors, and a name
//! that a client encodes comes out as it was.

use proptest::prelude::*;
use weir_ais::{
    ActionMsg, AisOp, BucketDelete, BucketGet, BucketPatch, BucketPost, ClusterPut, JobQuery, ObjectOp,
    Query, custom_patch, route,
};
use weir_http::Method;
use weir_types::{Bucket, BucketName, Provider};

const METHODS: [Method; 7] =
    [Method::Get, Method::Head, Method::Put, Method::Post, Method::Delete, Method::Patch, Method::Options];

fn encode(name: &str) -> String {
    name.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

proptest! {
    #[test]
    fn names_come_out_as_sent(name in "[^\0]{1,200}") {
        prop_assume!(name.len() <= 1024);
        let path = format!("/v1/objects/b/{}", encode(&name));
        match route(Method::Get, &path, "provider=ais") {
            Ok(AisOp::Object { object, op: ObjectOp::Get(_), .. }) => prop_assert_eq!(object.as_str(), name.as_str()),
            other => prop_assert!(false, "{other:?}"),
        }
        let query = format!("object_to={}", encode(&format!("ais/@#/dst/{name}")));
        let to = Query::parse(&query).unwrap().object_to().unwrap().unwrap();
        prop_assert_eq!(to.1.as_str(), name.as_str());
    }

    #[test]
    fn any_path_is_answered(path in "/(v1/)?(objects|buckets|daemon|reverse|cluster|ais|gs|health|x)?[/a-z%0-9.?]{0,40}", query in "[a-z_=&%0-9,@#|]{0,60}") {
        for method in METHODS {
            if let Err(e) = route(method, &path, &query) {
                prop_assert!((400..500).contains(&e.status()), "{method} {path}?{query}: {e}");
            }
        }
    }

    #[test]
    fn any_body_is_answered(action in "[a-z-]{0,16}", value in "\\PC{0,60}", raw in proptest::collection::vec(any::<u8>(), 0..80)) {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let message = format!("{{\"action\":{action:?},\"value\":{value}}}");
        for body in [message.as_bytes(), &raw] {
            let _ = ActionMsg::parse(body);
            let _ = BucketGet::read(body, true);
            let _ = BucketPost::read(body, &bucket, Some(&bucket), None);
            let _ = BucketPatch::read(body);
            let _ = BucketDelete::read(body, &bucket);
            let _ = ClusterPut::read(None, body);
            let _ = JobQuery::read(body);
            let _ = custom_patch(body);
        }
    }
}
