//! The gate as a whole: what one without credentials admits, what tokens allow, how denials are answered.

mod kinds;
mod signer;

use std::net::IpAddr;

use jsonwebtoken::Algorithm;
use kinds::{KINDS, bearer, changed, forged, plain, plan, token};
use proptest::prelude::*;
use serde_json::json;
use signer::{DAY, Plan, Refusal, TOKEN_KEY, admit, at, gate};
use weir_auth::{Arrival, AuthError, Credentials, Denied, Gate, Principal, Secret, issue_token};
use weir_http::{HeaderSlots, parse_head};
use weir_types::{Access, Bucket, BucketName, Namespace, Provider};

#[test]
fn a_narrower_gate_knows_its_own_credentials_only() {
    let keys = || vec![(signer::ID.to_owned(), Secret::new(signer::SECRET))];
    let only_keys = Gate::new(Credentials { access_keys: keys(), token_key: None }).unwrap();
    let only_tokens =
        Gate::new(Credentials { token_key: Some(Secret::new(TOKEN_KEY)), ..Default::default() }).unwrap();
    let regional = gate().for_region("us-east-1");
    for (gate, request, want) in [
        (&only_keys, plan(0).in_header(), None),
        (&only_keys, bearer(0, &token(Access::ALL)), Some(Denied::TokensOff)),
        (&only_keys, plan(0).header("x-amz-security-token", "x").in_header(), Some(Denied::TokensOff)),
        (&only_tokens, bearer(0, &token(Access::ALL)), None),
        (&only_tokens, plan(0).in_header(), Some(Denied::UnknownKey)),
        (&only_tokens, plan(0).in_query("60"), Some(Denied::UnknownKey)),
        (&only_tokens, plain(0, ""), Some(Denied::Missing)),
        (&regional, plan(0).in_header(), None),
        (
            &regional,
            changed(|p| p.region = "us-east-2".into())(0).in_header(),
            Some(Denied::Malformed("Credential: the region is not this node's")),
        ),
    ] {
        assert_eq!(admit(gate, &request, DAY).err(), want.map(Refusal::Denied), "{request}");
    }
}

#[test]
fn a_gate_without_credentials_serves_this_host_only() {
    let gate = Gate::anonymous_loopback_only();
    assert!(gate.anonymous_allowed() && !signer::gate().anonymous_allowed());
    let admit_from = |peer: &str, request: &str| {
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
        gate.admit(&head, &Arrival { peer: peer.parse::<IpAddr>().unwrap(), now: DAY })
    };
    let plain = |kind, lines: &str| local(plain(kind, lines));
    for peer in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
        let grant = admit_from(peer, &plain(0, "")).unwrap();
        assert_eq!(*grant.principal(), Principal::Anonymous);
        assert!(grant.require_cluster(Access::ALL).is_ok());
    }
    for peer in ["10.0.0.1", "0.0.0.0", "192.168.1.1", "::", "fe80::1", "::ffff:10.0.0.1", "2001:db8::1"] {
        assert_eq!(admit_from(peer, &plain(0, "")).err(), Some(Denied::NotLoopback), "{peer}");
        // What a proxy claims about the peer is not believed.
        let claim =
            plain(0, "X-Forwarded-For: 127.0.0.1\r\nX-Real-Ip: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n");
        assert_eq!(admit_from(peer, &claim).err(), Some(Denied::NotLoopback), "{peer}");
    }
    for (origin, served) in [
        ("http://localhost:8080", true),
        ("http://127.0.0.1", true),
        ("http://[::1]:9", true),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("http://evil.example:80", false),
        ("null", false),
        ("", false),
    ] {
        let got = admit_from("127.0.0.1", &plain(0, &format!("Origin: {origin}\r\n")));
        assert_eq!(got.is_ok(), served, "{origin}");
    }
    // A credential that nobody can check is no hindrance, and the body is still read as its header says.
    for (payload, rule) in [
        ("UNSIGNED-PAYLOAD", "Plain"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "UnsignedChunks { trailer: true }"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "UnsignedChunks { trailer: false }"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "UnsignedChunks { trailer: true }"),
    ] {
        let request = local(changed(move |p| p.payload = payload.to_owned())(8).in_header());
        let grant = admit_from("::1", &request).unwrap();
        assert_eq!(format!("{:?}", grant.body_rule()), rule);
    }
    assert_eq!(gate.issue("a", Access::ALL, 60, DAY), Err(AuthError::NoTokenKey));
}

/// The request, sent to this host by a name of it.
fn local(request: String) -> String {
    let sent = request.to_ascii_lowercase();
    let at = sent.find("\r\nhost: ").unwrap() + 8;
    let end = at + request[at..].find("\r\n").unwrap();
    format!("{}localhost:8080{}", &request[..at], &request[end..])
}

#[test]
fn a_gate_without_credentials_serves_under_its_own_names_only() {
    let check = |gate: &Gate, host: &str, served: bool| {
        for line in ["GET /", "PUT /bucket/object", "GET /v1/daemon?what=smap", "GET /metrics"] {
            let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut slots = HeaderSlots::default();
            let (head, _) = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
            let got = gate.admit(&head, &Arrival { peer: IpAddr::from([127, 0, 0, 1]), now: DAY });
            assert_eq!(got.err(), (!served).then_some(Denied::ForeignHost), "{host:?}");
        }
    };
    let gate = Gate::anonymous_loopback_only();
    let own =
        ["localhost", "LocalHost:8080", "127.0.0.1", "127.9.9.9:80", "[::1]:8080", "[::ffff:127.0.0.1]"];
    let foreign = [
        "rebound.example",
        "rebound.example:8080",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example",
        "10.0.0.1",
        "0.0.0.0",
        "[2001:db8::1]",
        "b.s3.lab",
        "s3.lab",
    ];
    own.iter().for_each(|host| check(&gate, host, true));
    foreign.iter().for_each(|host| check(&gate, host, false));
    let listing = gate.for_hosts(["S3.lab".to_owned(), ".s3.lab".into(), "node".into()]);
    own.iter().for_each(|host| check(&listing, host, true));
    for host in ["s3.lab", "S3.LAB:80", "b.s3.lab:8080", "a.b.s3.lab", "Node"] {
        check(&listing, host, true);
    }
    for host in ["rebound.example", "xs3.lab", "s3.lab.evil", "b.node", "node.evil"] {
        check(&listing, host, false);
    }
}

#[test]
fn credentials_are_checked_when_configured() {
    let key = |id: &str, secret: &str| (id.to_owned(), Secret::new(secret));
    let check = |access_keys, token_key: Option<&str>, expected: AuthError| {
        let credentials = Credentials { access_keys, token_key: token_key.map(Secret::new) };
        assert_eq!(Gate::new(credentials).err(), Some(expected));
    };
    check(vec![], None, AuthError::NoCredential);
    check(vec![key("", "s")], None, AuthError::AccessKey { got: "".into() });
    check(vec![key("a/b", "s")], None, AuthError::AccessKey { got: "a/b".into() });
    check(vec![key("a,b", "s")], None, AuthError::AccessKey { got: "a,b".into() });
    check(vec![key("a b", "s")], None, AuthError::AccessKey { got: "a b".into() });
    check(vec![key("a", "")], None, AuthError::EmptySecret { of: "a".into() });
    check(vec![key("a", "s"), key("a", "t")], None, AuthError::Twice { got: "a".into() });
    check(vec![], Some("fifteen bytes.."), AuthError::ShortTokenKey { got: 15 });
    check(vec![key("a", "s")], Some(""), AuthError::ShortTokenKey { got: 0 });
    check(
        (0..1025).map(|i| key(&format!("k{i}"), "s")).collect(),
        None,
        AuthError::TooManyKeys { got: 1025 },
    );
    let long = Secret::new(TOKEN_KEY);
    for (subject, seconds, expected) in [
        ("", 60, AuthError::Subject { got: 0 }),
        (&*"x".repeat(257), 60, AuthError::Subject { got: 257 }),
        ("a", 0, AuthError::Lifetime { got: 0 }),
        ("a", 90 * 24 * 3600 + 1, AuthError::Lifetime { got: 90 * 24 * 3600 + 1 }),
    ] {
        assert_eq!(issue_token(&long, subject, Access::GET, seconds, DAY), Err(expected));
    }
    assert_eq!(
        issue_token(&Secret::new("short"), "a", Access::GET, 1, DAY),
        Err(AuthError::ShortTokenKey { got: 5 })
    );
}

fn bucket(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}

#[test]
fn tokens_allow_what_they_name_and_nothing_else() {
    let gate = gate().for_cluster("uuid-1");
    let read = Access::READ_ONLY.0.to_string();
    let put = (Access::PUT | Access::GET).0.to_string();
    let in_bucket = |name: &str, uuid: &str, perm: &str| json!([{"bck": {"name": name, "provider": "ais", "namespace": {"uuid": uuid, "name": ""}}, "perm": perm}]);
    // Claims, and whether GET and PUT of bucket `b`, PUT of bucket `c` and creating buckets are allowed.
    for (claims, expected) in [
        (json!({"admin": true}), [true, true, true, true]),
        (json!({}), [false; 4]),
        (json!({"clusters": [{"id": "", "perm": read}]}), [true, false, false, false]),
        (json!({"clusters": [{"id": "uuid-1", "perm": read}]}), [true, false, false, false]),
        (json!({"clusters": [{"id": "uuid-2", "perm": read}]}), [false; 4]),
        (
            json!({"clusters": [{"id": "", "perm": "0"}, {"id": "uuid-1", "perm": put}]}),
            [true, true, true, false],
        ),
        (json!({"clusters": [{"id": "", "perm": u64::MAX.to_string()}]}), [true; 4]),
        (json!({"clusters": [{"id": "", "perm": Access::ADMIN.0.to_string()}]}), [true, true, true, false]),
        (json!({"buckets": in_bucket("b", "uuid-1", &put)}), [true, true, false, false]),
        (json!({"buckets": in_bucket("b", "", &put)}), [true, true, false, false]),
        (json!({"buckets": in_bucket("b", "uuid-2", &put)}), [false; 4]),
        (
            json!({"clusters": [{"id": "", "perm": put}], "buckets": in_bucket("b", "uuid-1", "0")}),
            [false, false, true, false],
        ),
    ] {
        let mut whole = json!({"sub": "alice", "exp": DAY + 60});
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let grant = admit(&gate, &bearer(0, &forged(Algorithm::HS256, TOKEN_KEY, whole)), DAY).unwrap();
        assert_eq!(*grant.principal(), Principal::Subject("alice".into()));
        let got = [
            grant.require(Access::GET, &bucket("b")).is_ok(),
            grant.require(Access::PUT, &bucket("b")).is_ok(),
            grant.require(Access::PUT, &bucket("c")).is_ok(),
            grant.require_cluster(Access::CREATE_BUCKET).is_ok(),
        ];
        assert_eq!(got, expected, "{claims}");
    }
}

#[test]
fn every_access_is_granted_alone_and_missed_alone() {
    for (method, path, _, needed) in KINDS {
        for (access, allowed) in [
            (*needed, true),
            (Access::ALL, true),
            (Access(0), false),
            (Access(((1 << 17) - 1) & !needed.0), false),
        ] {
            let token = gate().issue("alice", access, 60, DAY).unwrap();
            let grant = admit(&gate(), &bearer(0, &token), DAY + 59).unwrap();
            let permit = grant.require_cluster(*needed);
            assert_eq!(permit.is_ok(), allowed, "{method} {path} with {access:?}");
            match permit {
                Ok(permit) => assert_eq!(permit.access(), *needed),
                Err(denied) => assert_eq!((denied, denied.ais_status()), (Denied::Forbidden(*needed), 403)),
            }
        }
    }
    let other = Bucket {
        provider: Provider::Aws,
        namespace: Namespace::default(),
        name: BucketName::new("b").unwrap(),
    };
    let token = gate().issue("alice", Access::READ_ONLY, 60, DAY).unwrap();
    let grant = admit(&gate(), &bearer(0, &token), DAY).unwrap();
    assert_eq!(grant.access_to(&other), Access::READ_ONLY);
    assert!(grant.require(Access::GET | Access::PUT, &other).is_err());
}

#[test]
fn denials_are_answered_in_both_dialects() {
    for (denied, s3, ais) in [
        (Denied::Missing, (403, "AccessDenied"), 401),
        (Denied::Malformed("x"), (400, "AuthorizationHeaderMalformed"), 401),
        (Denied::MalformedQuery("x"), (400, "AuthorizationQueryParametersError"), 401),
        (Denied::UnknownKey, (403, "InvalidAccessKeyId"), 401),
        (Denied::Signature, (403, "SignatureDoesNotMatch"), 401),
        (Denied::ChunkSignature, (403, "SignatureDoesNotMatch"), 401),
        (Denied::Skewed, (403, "RequestTimeTooSkewed"), 401),
        (Denied::Expired, (403, "AccessDenied"), 401),
        (Denied::NoPayloadHash, (400, "MissingSecurityHeader"), 401),
        (Denied::Token, (400, "InvalidToken"), 401),
        (Denied::TokenExpired, (400, "ExpiredToken"), 401),
        (Denied::BadEscape, (400, "InvalidURI"), 400),
        (Denied::NotLoopback, (403, "AccessDenied"), 403),
        (Denied::ForeignHost, (403, "AccessDenied"), 403),
        (Denied::Forbidden(Access::PUT), (403, "AccessDenied"), 403),
    ] {
        assert_eq!((denied.s3(), denied.ais_status()), (s3, ais), "{denied:?}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let credentials = Credentials {
        access_keys: vec![("id".into(), Secret::new("planted-secret"))],
        token_key: Some(Secret::new("planted-token-key-bytes")),
    };
    let gate = Gate::new(credentials.clone()).unwrap();
    let grant = admit(&signer::gate(), &plan(0).in_header(), DAY).unwrap();
    assert!(!format!("{credentials:?} {gate:?} {grant:?} {:?}", at(0)).contains("planted"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What another signer signs is admitted, whatever the names; what it signs for one object does not open another.
    #[test]
    fn any_name_can_be_signed(
        path in "/[^\\x00-\\x1f]{0,30}",
        query in prop::collection::vec(("[a-z +&=%é]{1,8}", "[ -~]{0,12}"), 0..5),
        value in "[!-~]{1,10}( {1,3}[!-~]{1,10})?",
        presigned in any::<bool>(),
    ) {
        let make = |path: &str| {
            let mut plan = Plan::new("GET", path).header("x-amz-meta-a", &value.split_whitespace().collect::<Vec<_>>().join(" "));
            plan.query = query.clone();
            if presigned { plan.in_query("60") } else { plan.in_header() }
        };
        let request = make(&path);
        let sent = request.replace(&format!("x-amz-meta-a: {}", value.split_whitespace().collect::<Vec<_>>().join(" ")),
            &format!("x-amz-meta-a:   {value}\t"));
        prop_assert!(admit(&gate(), &sent, DAY).is_ok(), "{}", sent);
        let (line, rest) = sent.split_once("\r\n").unwrap();
        let target = line.split(' ').nth(1).unwrap();
        let other = format!("GET {} HTTP/1.1\r\n{rest}", target.replacen('/', "/x", 1));
        prop_assert!(admit(&gate(), &other, DAY).is_err());
    }

    #[test]
    fn any_bytes_as_a_credential_are_refused(
        value in "[ -~]{0,60}|AWS4-HMAC-SHA256 [ -~]{0,80}|Bearer [A-Za-z0-9._-]{0,60}",
        query in "[a-zA-Z0-9=&%-]{0,40}|X-Amz-Signature=[a-zA-Z0-9=&%-]{0,40}",
        date in "[0-9TZ]{0,18}",
    ) {
        let request = format!("GET /?{query} HTTP/1.1\r\nhost: h\r\nAuthorization: {value}\r\nx-amz-date: {date}\r\n\r\n");
        prop_assert!(admit(&gate(), &request, DAY).is_err());
    }
}
