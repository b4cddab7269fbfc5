//! The matrix: every kind of request of both APIs with every form of credential, good and bad.

mod kinds;
mod signer;

use jsonwebtoken::Algorithm;
use kinds::{KINDS, bearer, changed, forged, plain, plan, token};
use serde_json::{Value, json};
use signer::{DAY, EMPTY, Plan, Refusal, TOKEN_KEY, admit, gate};
use weir_auth::Denied;
use weir_types::Access;

/// A form of credential: the request it makes of a kind, and what must come of it.
type Form = (&'static str, Box<dyn Fn(usize) -> String>, Result<(), Denied>);

fn form(name: &'static str, make: impl Fn(usize) -> String + 'static, want: Result<(), Denied>) -> Form {
    (name, Box::new(make), want)
}

fn good_forms() -> Vec<Form> {
    let payload = |p: &'static str| changed(move |plan| plan.payload = p.to_owned());
    let streaming = ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"];
    vec![
        form("header", |k| plan(k).in_header(), Ok(())),
        form("header, unsigned payload", move |k| payload("UNSIGNED-PAYLOAD")(k).in_header(), Ok(())),
        form("header, signed chunks", move |k| payload(streaming[0])(k).in_header(), Ok(())),
        form("header, signed chunks, trailer", move |k| payload(streaming[1])(k).in_header(), Ok(())),
        form(
            "header, trailer",
            move |k| payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")(k).in_header(),
            Ok(()),
        ),
        form("header, any region", |k| changed(|p| p.region = "mars-1".into())(k).in_header(), Ok(())),
        form("query", |k| plan(k).in_query("60"), Ok(())),
        form("query, seven days", |k| plan(k).in_query("604800"), Ok(())),
        form("bearer", |k| bearer(k, &token(Access::ALL)), Ok(())),
        form("bearer, lower case", |k| bearer(k, &token(Access::ALL)).replace("Bearer", "bearer"), Ok(())),
        form(
            "security token",
            |k| plain(k, &format!("X-Amz-Security-Token: {}\r\n", token(Access::ALL))),
            Ok(()),
        ),
        form(
            "security token beside a signature of unknown keys",
            |k| {
                let plan = changed(|p| p.id = "invented".into())(k);
                plan.header("x-amz-security-token", &token(Access::ALL)).in_header()
            },
            Ok(()),
        ),
    ]
}

fn bad_signatures() -> Vec<Form> {
    let with = |change: fn(&mut Plan)| move |k: usize| changed(change)(k).in_header();
    let swap = |from: &'static str, to: &'static str| {
        move |k: usize| {
            let request = plan(k).in_header();
            assert!(request.contains(from));
            request.replacen(from, to, 1)
        }
    };
    let add = |line: &'static str| {
        move |k: usize| plan(k).in_header().replacen("\r\n", &format!("\r\n{line}\r\n"), 1)
    };
    let malformed = |why| Err(Denied::Malformed(why));
    const ORDER: &str = "SignedHeaders: expected lower-case names in ascending order";
    const SCOPE: &str = "Credential: expected id/date/region/service/aws4_request";
    vec![
        form("other secret", with(|p| p.secret = "other secret".into()), Err(Denied::Signature)),
        form("empty secret", with(|p| p.secret.clear()), Err(Denied::Signature)),
        form("other user's key", with(|p| p.id = "other".into()), Err(Denied::Signature)),
        form("unknown user", with(|p| p.id = "nobody".into()), Err(Denied::UnknownKey)),
        form("id in another case", with(|p| p.id = p.id.to_lowercase()), Err(Denied::UnknownKey)),
        form(
            "wrong service",
            with(|p| p.service = "sts".into()),
            malformed("Credential: expected the service s3"),
        ),
        form("too old", with(|p| p.stamp = "20130523T234459Z".into()), Err(Denied::Skewed)),
        form("from the future", with(|p| p.stamp = "20130524T001501Z".into()), Err(Denied::Skewed)),
        form("replayed with another method", |k| replayed(k, "PUT", "GET", "DELETE"), Err(Denied::Signature)),
        form("replayed on another path", swap(" /", " /x"), Err(Denied::Signature)),
        form("replayed on another host", swap("h:8080", "i:8080"), Err(Denied::Signature)),
        form("another region", swap("us-east-1/", "us-east-2/"), Err(Denied::Signature)),
        form(
            "another day",
            swap("/20130524/", "/20130525/"),
            malformed("the credential's date is not that of the request"),
        ),
        form("another terminal", swap("aws4_request", "aws4_requesx"), malformed(SCOPE)),
        form("no region", swap("us-east-1/", "/"), malformed(SCOPE)),
        form("upper-case signature", |k| upper_signature(&plan(k).in_header()), Err(Denied::Signature)),
        form(
            "short signature",
            |k| plan(k).in_header().replacen("Signature=", "Signature=a", 1),
            Err(Denied::Signature),
        ),
        form("host not signed", swap("SignedHeaders=host;", "SignedHeaders="), Err(Denied::Unsigned)),
        form("date not listed", swap(";x-amz-date,", ","), Err(Denied::Signature)),
        form(
            "headers out of order",
            swap("=host;x-amz-content-sha256;", "=x-amz-content-sha256;host;"),
            malformed(ORDER),
        ),
        form("header listed twice", swap("=host;", "=host;host;"), malformed(ORDER)),
        form("header in upper case", swap("=host;", "=Host;"), malformed(ORDER)),
        form(
            "no header listed",
            |k| plan(k).in_header().replace("host;x-amz-content-sha256;x-amz-date", ""),
            malformed(ORDER),
        ),
        form("listed header is absent", swap("=host;", "=a;host;"), Err(Denied::Signature)),
        form("x-amz header not signed", add("x-amz-acl: public-read"), Err(Denied::Unsigned)),
        form("copy source not signed", add("X-Amz-Copy-Source: /b/secret"), Err(Denied::Unsigned)),
        form(
            "signed header twice",
            add("x-amz-date: 20130524T000000Z"),
            malformed("x-amz-date or Date is no time, or came twice"),
        ),
        form("payload twice", add("x-amz-content-sha256: UNSIGNED-PAYLOAD"), Err(Denied::PayloadHash)),
        form("other payload", swap(EMPTY, "UNSIGNED-PAYLOAD"), Err(Denied::Signature)),
        form(
            "unsigned trailer instead",
            swap(EMPTY, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            Err(Denied::Signature),
        ),
        form(
            "signed chunks instead",
            swap(EMPTY, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            Err(Denied::Signature),
        ),
        form(
            "unknown mode",
            swap(EMPTY, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
            Err(Denied::PayloadMode),
        ),
        form("no digest", swap(EMPTY, "abc"), Err(Denied::PayloadHash)),
        form(
            "digest in upper case",
            swap(EMPTY, "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
            Err(Denied::PayloadHash),
        ),
        form(
            "no payload header",
            |k| without(&plan(k).in_header(), "x-amz-content-sha256:"),
            Err(Denied::NoPayloadHash),
        ),
        form("no date", |k| without(&plan(k).in_header(), "x-amz-date:"), Err(Denied::NoDate)),
        form(
            "bad date",
            swap("x-amz-date: 2", "x-amz-date: x2"),
            malformed("x-amz-date or Date is no time, or came twice"),
        ),
        form("part missing", swap(", SignedHeaders=", ", X="), malformed("unknown part")),
        form("part twice", swap("Credential=", "Signature=0, Credential="), malformed("a part came twice")),
        form(
            "nothing but the algorithm",
            |k| plain(k, "Authorization: AWS4-HMAC-SHA256 x\r\n"),
            malformed("expected name=value parts"),
        ),
        form("two credentials", add("Authorization: Bearer x"), Err(Denied::Ambiguous)),
    ]
}

fn bad_queries() -> Vec<Form> {
    let with = |change: fn(&mut Plan)| move |k: usize| changed(change)(k).in_query("60");
    let swap = |from: &'static str, to: &'static str| {
        move |k: usize| {
            let request = plan(k).in_query("60");
            assert!(request.contains(from), "{from} in {request}");
            request.replacen(from, to, 1)
        }
    };
    let expires = |text: &'static str| move |k: usize| plan(k).in_query(text);
    let malformed = |why| Err(Denied::MalformedQuery(why));
    const EXPIRES: &str = "X-Amz-Expires: expected 1 to 604800 seconds";
    const PARTS: &str =
        "expected X-Amz-Algorithm, -Credential, -Date, -Expires, -SignedHeaders and -Signature";
    vec![
        form("query, other secret", with(|p| p.secret = "other secret".into()), Err(Denied::Signature)),
        form("query, unknown user", with(|p| p.id = "nobody".into()), Err(Denied::UnknownKey)),
        form("query, other user", with(|p| p.id = "other".into()), Err(Denied::Signature)),
        form(
            "query, wrong service",
            with(|p| p.service = "iam".into()),
            malformed("Credential: expected the service s3"),
        ),
        form("query, expired", with(|p| p.stamp = "20130523T235859Z".into()), Err(Denied::Expired)),
        form("query, from the future", with(|p| p.stamp = "20130524T001501Z".into()), Err(Denied::Skewed)),
        form("query, over seven days", expires("604801"), malformed(EXPIRES)),
        form("query, no time", expires("0"), malformed(EXPIRES)),
        form("query, negative time", expires("-1"), malformed(EXPIRES)),
        form("query, plus", expires("+60"), malformed(EXPIRES)),
        form("query, endless time", expires("99999999999999999999"), malformed(EXPIRES)),
        form("query, empty time", expires(""), malformed(EXPIRES)),
        form("query, longer", swap("Expires=60", "Expires=61"), Err(Denied::Signature)),
        form("query, other host", swap("h:8080", "i:8080"), Err(Denied::Signature)),
        form("query, other path", swap(" /", " /x"), Err(Denied::Signature)),
        form("query, one more parameter", swap("X-Amz-Date", "x=y&X-Amz-Date"), Err(Denied::Signature)),
        form(
            "query, other algorithm",
            swap("HMAC", "hmac"),
            malformed("X-Amz-Algorithm: expected AWS4-HMAC-SHA256"),
        ),
        form("query, no date", swap("X-Amz-Date", "x-Amz-Date"), malformed(PARTS)),
        form("query, no signature", swap("X-Amz-Signature", "X-Amz-Signaturf"), malformed(PARTS)),
        form("query, no algorithm", swap("X-Amz-Algorithm", "a"), malformed(PARTS)),
        form("query, only a signature", |k| plain_query(k, "X-Amz-Signature=0"), malformed(PARTS)),
        form("query, encoded name", |k| plain_query(k, "X%2DAmz-Signature=0"), malformed(PARTS)),
        form(
            "query, part twice",
            swap("X-Amz-Date", "X-Amz-Expires=9&X-Amz-Date"),
            malformed("a parameter came twice"),
        ),
        form("query, bad escape", swap("%2F", "%2G"), Err(Denied::BadEscape)),
        form("query, unsigned header", swap("\r\n", "\r\nx-amz-acl: private\r\n"), Err(Denied::Unsigned)),
        form(
            "query, unsigned trailer",
            swap("\r\n", "\r\nx-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"),
            Err(Denied::Signature),
        ),
        form(
            "query, session",
            swap("X-Amz-Date", "X-Amz-Security-Token=t&X-Amz-Date"),
            malformed("X-Amz-Security-Token: session credentials are not known here"),
        ),
        form(
            "query and header",
            |k| plan(k).in_query("60").replacen("\r\n", "\r\nAuthorization: Bearer x\r\n", 1),
            Err(Denied::Ambiguous),
        ),
        form(
            "query and token",
            |k| plan(k).in_query("60").replacen("\r\n", "\r\nX-Amz-Security-Token: x\r\n", 1),
            Err(Denied::Ambiguous),
        ),
    ]
}

fn bad_tokens() -> Vec<Form> {
    let claims = |change: fn(&mut Value)| {
        move |k: usize| {
            let mut claims = json!({"sub": "alice", "exp": DAY + 60, "admin": true});
            change(&mut claims);
            bearer(k, &forged(Algorithm::HS256, TOKEN_KEY, claims))
        }
    };
    let forge = |algorithm, key: &'static str| {
        move |k: usize| {
            bearer(k, &forged(algorithm, key, json!({"sub": "alice", "exp": DAY + 60, "admin": true})))
        }
    };
    let cut = |change: fn(String) -> String| move |k: usize| bearer(k, &change(token(Access::ALL)));
    vec![
        form("none", |k| plain(k, ""), Err(Denied::Missing)),
        form("empty", |k| plain(k, "Authorization:\r\n"), Err(Denied::Mechanism)),
        form("basic", |k| plain(k, "Authorization: Basic YTpi\r\n"), Err(Denied::Mechanism)),
        form(
            "signature version 2",
            |k| plain(k, "Authorization: AWS AKIAIOSFODNN7EXAMPLE:c2ln\r\n"),
            Err(Denied::Mechanism),
        ),
        form(
            "another algorithm",
            |k| plain(k, "Authorization: AWS4-ECDSA-P256-SHA256 Credential=a\r\n"),
            Err(Denied::Mechanism),
        ),
        form("bearer of nothing", |k| plain(k, "Authorization: Bearer\r\n"), Err(Denied::Mechanism)),
        form("bearer of garbage", |k| bearer(k, "garbage"), Err(Denied::Token)),
        form("bearer of dots", |k| bearer(k, ".."), Err(Denied::Token)),
        form("other key", forge(Algorithm::HS256, "another token key, long enough"), Err(Denied::Token)),
        form("empty key", forge(Algorithm::HS256, ""), Err(Denied::Token)),
        form("other algorithm", forge(Algorithm::HS384, TOKEN_KEY), Err(Denied::Token)),
        form("other algorithm 512", forge(Algorithm::HS512, TOKEN_KEY), Err(Denied::Token)),
        form("no algorithm", |k| bearer(k, NONE), Err(Denied::Token)),
        form("expired", claims(|c| c["exp"] = json!(DAY)), Err(Denied::TokenExpired)),
        form("long expired", claims(|c| c["exp"] = json!(0)), Err(Denied::TokenExpired)),
        form("not yet valid", claims(|c| c["nbf"] = json!(DAY + 1)), Err(Denied::Token)),
        form("no expiry", claims(|c| c["exp"] = json!(null)), Err(Denied::Token)),
        form("negative expiry", claims(|c| c["exp"] = json!(-1)), Err(Denied::Token)),
        form("expiry in words", claims(|c| c["exp"] = json!("never")), Err(Denied::Token)),
        form("no subject", claims(|c| c["sub"] = json!(null)), Err(Denied::Token)),
        form("empty subject", claims(|c| c["sub"] = json!("")), Err(Denied::Token)),
        form("admin in words", claims(|c| c["admin"] = json!("true")), Err(Denied::Token)),
        form(
            "bad rights",
            claims(|c| *c = json!({"sub": "a", "exp": DAY + 9, "clusters": [{"id": "", "perm": "all"}]})),
            Err(Denied::Token),
        ),
        form("cut", cut(|t| t[..t.len() - 1].to_owned()), Err(Denied::Token)),
        form("longer", cut(|t| t + "A"), Err(Denied::Token)),
        form("signature left out", cut(|t| t[..=t.rfind('.').unwrap()].to_owned()), Err(Denied::Token)),
        form(
            "claims of another",
            cut(|t| {
                let other = token(Access::GET);
                let (a, b): (Vec<_>, Vec<_>) = (t.split('.').collect(), other.split('.').collect());
                format!("{}.{}.{}", a[0], a[1], b[2])
            }),
            Err(Denied::Token),
        ),
        form("too long", cut(|t| t + &"A".repeat(9000)), Err(Denied::Token)),
        form("security token of garbage", |k| plain(k, "X-Amz-Security-Token: x\r\n"), Err(Denied::Token)),
        form(
            "good signature beside a bad security token",
            |k| plan(k).header("x-amz-security-token", "x").in_header(),
            Err(Denied::Token),
        ),
        form(
            "two tokens",
            |k| {
                plain(
                    k,
                    &format!(
                        "Authorization: Bearer {0}\r\nX-Amz-Security-Token: {0}\r\n",
                        token(Access::ALL)
                    ),
                )
            },
            Err(Denied::Ambiguous),
        ),
    ]
}

/// `{"alg":"none"}` with an administrator's claims and no signature.
const NONE: &str =
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhIiwiZXhwIjo5OTk5OTk5OTk5LCJhZG1pbiI6dHJ1ZX0.";

fn replayed(kind: usize, a: &str, b: &str, c: &str) -> String {
    let request = plan(kind).in_header();
    let (method, rest) = request.split_once(' ').unwrap();
    let other = [a, b, c].into_iter().find(|m| *m != method).unwrap();
    format!("{other} {rest}")
}

fn plain_query(kind: usize, query: &str) -> String {
    let (method, path, ..) = KINDS[kind];
    format!("{method} {path}?{query} HTTP/1.1\r\nhost: h\r\n\r\n")
}

fn upper_signature(request: &str) -> String {
    let at = request.find("Signature=").unwrap() + 10;
    format!("{}{}{}", &request[..at], request[at..at + 64].to_uppercase(), &request[at + 64..])
}

fn without(request: &str, header: &str) -> String {
    request.split_inclusive("\r\n").filter(|line| !line.starts_with(header)).collect()
}

#[test]
fn every_kind_of_request_needs_a_good_credential() {
    let gate = gate();
    let mut cells = 0;
    for (name, make, want) in
        [good_forms(), bad_signatures(), bad_queries(), bad_tokens()].into_iter().flatten()
    {
        for kind in 0..KINDS.len() {
            let request = make(kind);
            let got = match admit(&gate, &request, DAY) {
                Ok(_) => Ok(()),
                Err(Refusal::Denied(denied)) => Err(denied),
                Err(Refusal::Http(status)) => panic!("{name}: not HTTP ({status}): {request}"),
            };
            assert_eq!(got, want, "{name}: {request}");
            cells += 1;
        }
    }
    assert!(cells > 2000, "{cells} cells");
}
