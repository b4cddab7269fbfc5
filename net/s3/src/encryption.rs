//! Encryption headers. Nothing is encrypted here, so a request for it is refused and never ignored.

use crate::error::{Result, S3Code, S3Error};
use crate::request::RequestHead;

const SSE: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const CONTEXT: &str = "x-amz-server-side-encryption-context";
const C_ALGORITHM: &str = "x-amz-server-side-encryption-customer-algorithm";
const C_KEY: &str = "x-amz-server-side-encryption-customer-key";
const C_MD5: &str = "x-amz-server-side-encryption-customer-key-md5";
const SOURCE: [&str; 3] = [
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-key",
    "x-amz-copy-source-server-side-encryption-customer-key-md5",
];

/// Refuses a write that asks for encryption: `InvalidArgument` where the request contradicts itself, else `NotImplemented`.
pub(crate) fn refuse_on_write<H: RequestHead + ?Sized>(head: &H) -> Result<()> {
    let customer = [C_ALGORITHM, C_KEY, C_MD5].map(|name| head.header(name));
    let wanted = customer.iter().any(Option::is_some);
    let kms_key = head.header(KMS_KEY);
    match head.header(SSE) {
        Some(sse) if wanted => {
            Err(S3Error::argument(SSE, sse, "two kinds of encryption are asked for at once"))
        }
        Some("AES256") => match kms_key {
            Some(key) => Err(S3Error::argument(KMS_KEY, key, "a KMS key does not fit AES256")),
            None => Err(S3Error::not_implemented("server-side encryption")),
        },
        Some("aws:kms" | "aws:kms:dsse") => Err(S3Error::not_implemented("server-side encryption with KMS")),
        Some(sse) => Err(S3Error::argument(SSE, sse, "expected AES256, aws:kms or aws:kms:dsse")),
        None => match kms_key {
            Some(key) => Err(S3Error::argument(KMS_KEY, key, "a KMS key is given, but no encryption")),
            None if head.header(CONTEXT).is_some() => {
                Err(S3Error::argument(CONTEXT, "", "no encryption is asked for"))
            }
            None if wanted => Err(customer_refusal(customer)),
            None => refuse_source(head),
        },
    }
}

fn customer_refusal([algorithm, key, md5]: [Option<&str>; 3]) -> S3Error {
    match (algorithm, key, md5) {
        (None, ..) => S3Error::argument(C_ALGORITHM, "", "the algorithm is missing"),
        (Some(a), ..) if a != "AES256" => {
            S3Error::new(S3Code::InvalidEncryptionAlgorithmError, "expected AES256")
        }
        (_, None, _) => S3Error::argument(C_KEY, "", "the key is missing"),
        (_, _, None) => S3Error::argument(C_MD5, "", "the MD5 of the key is missing"),
        _ => S3Error::not_implemented("server-side encryption with customer keys"),
    }
}

/// Refuses a read that brings a key or names an encryption: no object here is encrypted, and S3 takes the latter for
/// writes alone.
pub(crate) fn refuse_on_read<H: RequestHead + ?Sized>(head: &H) -> Result<()> {
    match [C_ALGORITHM, C_KEY, C_MD5, SSE, KMS_KEY].into_iter().find(|name| head.header(name).is_some()) {
        Some(_) => Err(S3Error::new(
            S3Code::InvalidRequest,
            "encryption parameters do not apply: the object is not encrypted",
        )),
        None => Ok(()),
    }
}

fn refuse_source<H: RequestHead + ?Sized>(head: &H) -> Result<()> {
    match SOURCE.into_iter().find(|name| head.header(name).is_some()) {
        Some(_) => Err(S3Error::new(
            S3Code::InvalidRequest,
            "encryption parameters do not apply: the source is not encrypted",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::PlainHead;

    #[test]
    fn no_request_for_encryption_is_ignored() {
        let check = |headers: &[(&str, &str)], expected: Option<S3Code>| {
            let head = headers.iter().fold(PlainHead::new("PUT", "/b/o"), |h, (n, v)| h.header(n, v));
            assert_eq!(refuse_on_write(&head).err().map(|e| e.code), expected, "{headers:?}");
        };
        let (argument, missing) = (Some(S3Code::InvalidArgument), Some(S3Code::NotImplemented));
        check(&[], None);
        check(&[(SSE, "AES256")], missing);
        check(&[(SSE, "aws:kms")], missing);
        check(&[(SSE, "aes:kms")], argument);
        check(&[(SSE, "AES256"), (KMS_KEY, "k")], argument);
        check(&[(SSE, "AES256"), (C_ALGORITHM, "AES256"), (C_KEY, "k"), (C_MD5, "m")], argument);
        check(&[(KMS_KEY, "k")], argument);
        check(&[(CONTEXT, "c")], argument);
        check(&[(C_KEY, "k"), (C_MD5, "m")], argument);
        check(&[(C_ALGORITHM, "AES256")], argument);
        check(&[(C_ALGORITHM, "AES256"), (C_KEY, "k")], argument);
        check(&[(C_ALGORITHM, "DES")], Some(S3Code::InvalidEncryptionAlgorithmError));
        check(&[(C_ALGORITHM, "AES256"), (C_KEY, "k"), (C_MD5, "m")], missing);
        check(&[(SOURCE[0], "AES256")], Some(S3Code::InvalidRequest));
        assert_eq!(refuse_on_read(&PlainHead::new("GET", "/b/o")), Ok(()));
        for name in [C_ALGORITHM, SSE, KMS_KEY] {
            let get = PlainHead::new("GET", "/b/o").header(name, "AES256");
            assert_eq!(refuse_on_read(&get).unwrap_err().code, S3Code::InvalidRequest, "{name}");
        }
    }
}
