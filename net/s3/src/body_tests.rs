use super::*;
use crate::request::PlainHead;

fn put(headers: &[(&str, &str)]) -> PlainHead {
    headers.iter().fold(PlainHead::new("PUT", "/b/o"), |h, (n, v)| h.header(n, v))
}

/// The code that refuses the head, or else the body `123456789` under it.
fn code(headers: &[(&str, &str)]) -> Option<S3Code> {
    let mut all = vec![("content-length", "9")];
    all.extend(headers);
    let plan = match BodyPlan::parse_object(&put(&all)) {
        Ok(plan) => plan,
        Err(e) => return Some(e.code),
    };
    plan.verify_bytes(b"123456789", &Trailers::default()).err().map(|e| e.code)
}

#[test]
fn announced_digests_are_compared() {
    let check = |name: &str, value: &str, expected: Option<S3Code>| {
        assert_eq!(code(&[(name, value)]), expected, "{name}: {value}")
    };
    let bad = Some(S3Code::BadDigest);
    check("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==", None);
    check("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", bad);
    check("content-md5", "", Some(S3Code::InvalidDigest));
    check("content-md5", "bad", Some(S3Code::InvalidDigest));
    check("content-md5", "AAAA", Some(S3Code::InvalidDigest));
    check("x-amz-checksum-crc32", "y/Q5Jg==", None);
    check("x-amz-checksum-crc32", "AAAAAA==", bad);
    check("x-amz-checksum-crc32c", "4waSgw==", None);
    check("x-amz-checksum-crc64nvme", "rosUhgp5mIg=", None);
    check("x-amz-checksum-crc64nvme", "bad", bad);
    let sha = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    check("x-amz-content-sha256", sha, None);
    check("x-amz-content-sha256", &"0".repeat(64), Some(S3Code::XAmzContentSHA256Mismatch));
    check("x-amz-content-sha256", &"z".repeat(64), Some(S3Code::InvalidArgument));
    check("x-amz-content-sha256", "UNSIGNED-PAYLOAD", None);
    check("content-length", "9", None);
}

#[test]
fn contradictions_are_refused() {
    let crc = ("x-amz-checksum-crc32", "y/Q5Jg==");
    let algorithm = "x-amz-sdk-checksum-algorithm";
    let invalid = Some(S3Code::InvalidRequest);
    assert_eq!(code(&[crc, (algorithm, "CRC32")]), None);
    assert_eq!(code(&[crc, (algorithm, "SHA256")]), invalid);
    assert_eq!(code(&[(algorithm, "CRC32")]), invalid);
    assert_eq!(code(&[(algorithm, "CRC5")]), invalid);
    assert_eq!(code(&[crc, ("x-amz-checksum-sha1", "AAAA")]), invalid);
    assert_eq!(code(&[("x-amz-trailer", "x-amz-checksum-crc32")]), invalid);
    assert_eq!(
        code(&[("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")]),
        Some(S3Code::NotImplemented)
    );
    assert_eq!(code(&[("x-amz-content-sha256", STREAMING_SIGNED)]), Some(S3Code::MissingContentLength));
    assert_eq!(
        code(&[("x-amz-content-sha256", STREAMING_SIGNED), (DECODED_LENGTH, "x")]),
        Some(S3Code::InvalidArgument)
    );
}

#[test]
fn framings() {
    let check = |headers: &[(&str, &str)], expected: Framing| {
        assert_eq!(BodyPlan::parse_document(&put(headers)).unwrap().framing, expected, "{headers:?}");
    };
    let chunked = |signed, trailer| Framing::AwsChunked { decoded: 9, signed, trailer };
    let nine = (DECODED_LENGTH, "9");
    check(&[], Framing::Plain);
    check(&[("content-encoding", "gzip, aws-chunked")], Framing::Plain);
    check(&[("content-encoding", "aws-chunked"), nine], chunked(false, false));
    check(&[(SHA256_HEADER, STREAMING_SIGNED), nine], chunked(true, false));
    check(&[(SHA256_HEADER, STREAMING_SIGNED_TRAILER), nine], chunked(true, true));
    check(
        &[(SHA256_HEADER, STREAMING_UNSIGNED), nine, ("x-amz-trailer", "x-amz-checksum-crc32")],
        chunked(false, true),
    );
}

#[test]
fn lengths() {
    let parse = |headers: &[(&str, &str)]| {
        BodyPlan::parse_object(&put(headers)).map(|p| p.length).map_err(|e| e.code)
    };
    assert_eq!(parse(&[]), Err(S3Code::MissingContentLength));
    assert_eq!(parse(&[("transfer-encoding", "chunked")]), Ok(None));
    assert_eq!(parse(&[("content-length", "5")]), Ok(Some(5)));
    assert_eq!(parse(&[("content-length", "5497558138881")]), Err(S3Code::EntityTooLarge));
    let document = BodyPlan::parse_document(&put(&[("content-length", "4194305")]));
    assert_eq!(document.unwrap_err().code, S3Code::MaxMessageLengthExceeded);
    let short = BodyPlan { length: Some(3), ..BodyPlan::default() };
    assert_eq!(short.verify(2, &[], &Trailers::default()).unwrap_err().code, S3Code::IncompleteBody);
}

#[test]
fn a_trailer_is_awaited_and_kept() {
    let head = put(&[
        (SHA256_HEADER, STREAMING_UNSIGNED),
        (DECODED_LENGTH, "9"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ]);
    let plan = BodyPlan::parse_object(&head).unwrap();
    assert_eq!(plan.kinds(), [ChecksumKind::Crc32]);
    let sums = [weir_types::checksum::of(ChecksumKind::Crc32, b"123456789")];
    let check =
        |trailers: &[(&str, &str)]| plan.verify(9, &sums, &Trailers::of(trailers)).map_err(|e| e.code);
    assert_eq!(check(&[("X-Amz-Checksum-Crc32", "y/Q5Jg==")]).unwrap().unwrap().wire(), "y/Q5Jg==");
    assert_eq!(check(&[("x-amz-checksum-crc32", "AAAAAA==")]), Err(S3Code::BadDigest));
    assert_eq!(check(&[]), Err(S3Code::MalformedTrailerError));
    assert_eq!(
        plan.verify(9, &[], &Trailers::of(&[("x-amz-checksum-crc32", "y/Q5Jg==")])).unwrap_err().code,
        S3Code::InternalError
    );
}

#[test]
fn a_part_keeps_the_checksum_of_its_upload() {
    let plan = |headers: &[(&str, &str)]| BodyPlan::parse_document(&put(headers)).unwrap();
    let plain = plan(&[]).wanting(FlexibleKind::Crc32).unwrap();
    let sums = [weir_types::checksum::of(ChecksumKind::Crc32, b"123456789")];
    assert_eq!(plain.kinds(), [ChecksumKind::Crc32]);
    assert_eq!(plain.verify(9, &sums, &Trailers::default()).unwrap().unwrap().wire(), "y/Q5Jg==");
    let declared = plan(&[("x-amz-checksum-crc32", "y/Q5Jg==")]);
    assert!(declared.clone().wanting(FlexibleKind::Crc32).is_ok());
    assert_eq!(declared.wanting(FlexibleKind::Sha1).unwrap_err().code, S3Code::InvalidRequest);
    assert_eq!(plan(&[("x-amz-trailer", "")]).kinds(), []);
}
