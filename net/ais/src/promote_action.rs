//! What POST to the objects of a bucket asks for: files of targets that become objects.

use crate::error::Unsupported;
use crate::json_fields::Fields;
use crate::{ActionMsg, AisError};

/// POST of `/v1/objects/B`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectsPost {
    /// Files become objects.
    Promote(PromoteMsg),
    /// Not built.
    Unsupported(Unsupported),
}

/// Files that are to become objects (AIS: `PromoteArgs`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PromoteMsg {
    /// One target; empty: all.
    pub node: String,
    /// File or directory: an absolute path without `.` and `..`.
    pub source: String,
    /// What names begin with, or the name of the one object.
    pub object: String,
    /// Directories in it, too.
    pub recursive: bool,
    /// In place of objects that are there.
    pub overwrite: bool,
    /// Files that became objects are removed.
    pub delete_source: bool,
}

impl ObjectsPost {
    /// Reads the body.
    pub fn read(body: &[u8]) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        match msg.action.as_str() {
            "promote" => PromoteMsg::read(&msg).map(Self::Promote),
            "blob-download" => Ok(Self::Unsupported(Unsupported::new(msg.action, "an object"))),
            _ => Err(msg.unknown("POST objects")),
        }
    }
}

impl PromoteMsg {
    fn read(msg: &ActionMsg) -> Result<Self, AisError> {
        let value = msg.value()?;
        let fields = Fields::of(&value, "promote message")?;
        let text = |name| fields.text(name).map(str::to_owned);
        let flag = |name| fields.flag(name).map(|flag| flag.unwrap_or(false));
        let source = text("src")?;
        let source = match (source.is_empty(), msg.name.is_empty()) {
            (true, _) => msg.name.clone(),
            (false, false) if source != msg.name => {
                let what = format!("conflicting promote source: {:?} and {source:?}", msg.name);
                return Err(AisError::Bad(what));
            }
            _ => source,
        };
        check_path(&source)?;
        Ok(Self {
            node: text("tid")?,
            source,
            object: text("obj")?,
            recursive: flag("rcr")?,
            overwrite: flag("ovw")?,
            delete_source: flag("dls")?,
        })
    }
}

fn check_path(source: &str) -> Result<(), AisError> {
    let bad = |what: &str| Err(AisError::Bad(format!("invalid promote source {source:?}: {what}")));
    match source.strip_prefix('/') {
        None => bad("expected an absolute path"),
        Some(path) if path.trim_end_matches('/').split('/').any(|part| matches!(part, "" | "." | "..")) => {
            bad("expected no empty, '.' or '..' components")
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_absolute_path_without_dots() {
        let read = |body: &str| ObjectsPost::read(body.as_bytes());
        let sdk = r#"{"action":"promote","name":"/p/d","value":{"tid":"","src":"/p/d","obj":"o/","rcr":true,"ovw":true,
            "dls":false,"notshr":false}}"#;
        let expected = PromoteMsg {
            source: "/p/d".into(),
            object: "o/".into(),
            recursive: true,
            overwrite: true,
            ..PromoteMsg::default()
        };
        assert_eq!(read(sdk), Ok(ObjectsPost::Promote(expected)));
        let of = |source: &str| read(&format!(r#"{{"action":"promote","name":{source:?},"value":{{}}}}"#));
        assert!(matches!(of("/p/d/"), Ok(ObjectsPost::Promote(_))));
        for bad in ["", "p", "/", "/p/../q", "/p/./q", "/p//q", "/.."] {
            assert_eq!(of(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert!(read(r#"{"action":"promote","name":"/p","value":{"src":"/q"}}"#).is_err());
        assert!(matches!(read(r#"{"action":"blob-download"}"#), Ok(ObjectsPost::Unsupported(_))));
        assert!(read(r#"{"action":"other"}"#).is_err());
    }
}
