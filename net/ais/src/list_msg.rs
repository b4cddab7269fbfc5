use serde_json::Value;
use weir_types::limits::LIST_PAGE_MAX;
use weir_types::{Bucket, Provider};

use crate::AisError;
use crate::json_fields::Fields;
use crate::times::RFC822;

/// Flags of a listing request, AIS's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LsoFlags(pub u64);

#[allow(missing_docs, reason = "each is AIS's flag of that name")]
impl LsoFlags {
    pub const CACHED: Self = Self(1);
    pub const MISSING: Self = Self(1 << 1);
    pub const ARCH_DIR: Self = Self(1 << 3);
    pub const NAME_ONLY: Self = Self(1 << 4);
    pub const NAME_SIZE: Self = Self(1 << 5);
    pub const BUCKET_PRESENT: Self = Self(1 << 6);
    pub const DONT_HEAD_REMOTE: Self = Self(1 << 7);
    pub const DONT_ADD_REMOTE: Self = Self(1 << 8);
    pub const NOT_CACHED: Self = Self(1 << 9);
    pub const NO_RECURSION: Self = Self(1 << 11);
    pub const DIFF: Self = Self(1 << 12);
    pub const NO_DIRS: Self = Self(1 << 13);
    pub const IS_S3: Self = Self(1 << 14);
    pub const INVENTORY: Self = Self(1 << 15);

    /// Whether any bit of `flag` is set.
    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

/// A listing request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsoMsg {
    /// The listing it continues; empty begins one.
    pub uuid: String,
    /// Names to list begin with this.
    pub prefix: String,
    /// Names to list follow this one; AIS buckets alone.
    pub start_after: String,
    /// The last name that came; empty begins.
    pub token: String,
    /// Properties asked for, joined by commas; never empty.
    pub props: String,
    /// Layout of times, Go's.
    pub time_format: String,
    /// Flags, with those that follow from `props`.
    pub flags: LsoFlags,
    /// Entries asked for; 0 for the default.
    pub page_size: u64,
}

/// What entries tell beside name and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown<'m> {
    /// Bytes.
    pub size: bool,
    /// Checksum.
    pub checksum: bool,
    /// Access time.
    pub atime: bool,
    /// Version.
    pub version: bool,
    /// Target and mountpath.
    pub location: bool,
    /// Custom metadata.
    pub custom: bool,
    /// Number of copies.
    pub copies: bool,
    /// Layout of times, Go's.
    pub time_format: &'m str,
}

impl LsoMsg {
    /// Reads the value of a `list` action.
    pub fn read(value: &Value) -> Result<Self, AisError> {
        let fields = Fields::of(value, "list-objects message")?;
        let prefix = fields.text("prefix")?;
        let time_format = fields.text("time_format")?;
        const LAYOUT_BYTES_MAX: usize = 64;
        if time_format.len() > LAYOUT_BYTES_MAX {
            return Err(AisError::Bad(format!("time_format: expected at most {LAYOUT_BYTES_MAX} bytes")));
        }
        let mut msg = Self {
            uuid: fields.text("uuid")?.to_owned(),
            prefix: prefix.strip_suffix('*').unwrap_or(prefix).to_owned(),
            start_after: fields.text("start_after")?.to_owned(),
            token: fields.text("continuation_token")?.to_owned(),
            props: fields.text("props")?.to_owned(),
            time_format: if time_format.is_empty() { RFC822.into() } else { time_format.to_owned() },
            flags: LsoFlags(fields.number("flags")?),
            page_size: fields.number("pagesize")?,
        };
        msg.normalize_props();
        Ok(msg)
    }

    /// AIS's rules for properties that are not named one by one.
    fn normalize_props(&mut self) {
        match self.props.as_str() {
            "" if self.flags.has(LsoFlags::CACHED) => self.props = "name,size,checksum,atime".into(),
            "" => {
                self.props = "name,size,cached".into();
                self.flags.0 |= LsoFlags::NAME_SIZE.0;
            }
            "name" => self.flags.0 |= LsoFlags::NAME_ONLY.0,
            "name,size" => self.flags.0 |= LsoFlags::NAME_SIZE.0,
            _ => {}
        }
    }

    /// What entries are to tell; AIS looks for a property's name anywhere in the list.
    pub fn shown(&self) -> Shown<'_> {
        let wants = |prop| !self.flags.has(LsoFlags::NAME_ONLY) && self.props.contains(prop);
        Shown {
            size: wants("size"),
            checksum: wants("checksum"),
            atime: wants("atime"),
            version: wants("version"),
            location: wants("location"),
            custom: wants("custom"),
            copies: wants("copies"),
            time_format: &self.time_format,
        }
    }

    /// What does not go together, or with the bucket.
    pub fn check(&self, bucket: &Bucket) -> Result<(), AisError> {
        if self.flags.has(LsoFlags::CACHED) && self.flags.has(LsoFlags::NOT_CACHED) {
            return Err(AisError::Bad("list-objects: flags cached and not-cached exclude each other".into()));
        }
        if bucket.provider.is_remote() && !self.start_after.is_empty() && !self.flags.has(LsoFlags::CACHED) {
            return Err(crate::Unsupported::new("list with start_after", bucket.to_string()).into());
        }
        for (flag, name) in [
            (LsoFlags::ARCH_DIR, "list archived files of"),
            (LsoFlags::INVENTORY, "list the inventory of"),
            (LsoFlags::DIFF, "list differences of"),
        ] {
            if self.flags.has(flag) {
                return Err(crate::Unsupported::new(name, bucket.to_string()).into());
            }
        }
        Ok(())
    }

    /// Entries of a page from `bucket`: what was asked for, bounded by what the provider gives at once.
    pub fn page_entries(&self, bucket: &Bucket) -> usize {
        let max = match bucket.provider {
            _ if self.flags.has(LsoFlags::CACHED) => LIST_PAGE_MAX,
            Provider::Ais => LIST_PAGE_MAX,
            Provider::Aws | Provider::Gcp | Provider::Oci => 1000,
            Provider::Azure => 5000,
        };
        match usize::try_from(self.page_size) {
            Ok(0) | Err(_) => max,
            Ok(n) => n.min(max),
        }
    }

    /// The name after which this page begins: the later of token and `start_after`.
    pub fn after(&self) -> &str {
        self.token.as_str().max(self.start_after.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_types::BucketName;

    use super::*;

    fn bucket(provider: Provider) -> Bucket {
        Bucket::global(provider, BucketName::new("b").unwrap())
    }

    #[test]
    fn requests() {
        let msg = LsoMsg::read(&json!({"prefix": "d/*", "pagesize": 2, "uuid": "u", "props": "name,size", "continuation_token": "t", "flags": "2112", "target": "", "hdr": null})).unwrap();
        assert_eq!((msg.prefix.as_str(), msg.uuid.as_str(), msg.after(), msg.page_size), ("d/", "u", "t", 2));
        assert!(msg.flags.has(LsoFlags::NO_RECURSION) && msg.flags.has(LsoFlags::BUCKET_PRESENT));
        assert!(msg.flags.has(LsoFlags::NAME_SIZE) && msg.shown().size && !msg.shown().atime);
        let msg = LsoMsg::read(&json!({"props": "name", "start_after": "x"})).unwrap();
        assert!(!msg.shown().size && msg.after() == "x");
        for (props, flags, expected) in [
            ("", "0", "name,size,cached"),
            ("", "1", "name,size,checksum,atime"),
            ("name,custom,cached", "0", "name,custom,cached"),
        ] {
            let msg = LsoMsg::read(&json!({"props": props, "flags": flags})).unwrap();
            assert_eq!(msg.props, expected);
        }
        for bad in [
            json!([]),
            json!({"flags": "x"}),
            json!({"pagesize": -1}),
            json!({"prefix": 5}),
            json!({"time_format": "x".repeat(65)}),
        ] {
            assert_eq!(LsoMsg::read(&bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn pages() {
        let size = |n: u64, flags: &str, p| {
            LsoMsg::read(&json!({"pagesize": n, "flags": flags})).unwrap().page_entries(&bucket(p))
        };
        assert_eq!(size(0, "0", Provider::Ais), 10_000);
        assert_eq!(size(7, "0", Provider::Ais), 7);
        assert_eq!(size(1_000_000, "0", Provider::Ais), 10_000);
        assert_eq!(size(u64::MAX, "0", Provider::Aws), 1000);
        assert_eq!(size(0, "1", Provider::Aws), 10_000);
        assert_eq!(size(6000, "0", Provider::Azure), 5000);
    }

    #[test]
    fn checked() {
        let check = |v: Value, p| LsoMsg::read(&v).unwrap().check(&bucket(p)).map_err(|e| e.status());
        assert_eq!(check(json!({"start_after": "a"}), Provider::Ais), Ok(()));
        assert_eq!(check(json!({"start_after": "a"}), Provider::Aws), Err(501));
        assert_eq!(check(json!({"flags": "8"}), Provider::Ais), Err(501));
        assert_eq!(check(json!({"flags": "513"}), Provider::Aws), Err(400));
    }
}
