//! What is to become of a mountpath (`/v1/daemon/mountpaths`).

use serde_json::Value;

use crate::{ActionMsg, AisError};

/// An action on a mountpath. The method of the request says nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountpathMsg {
    /// Take it in.
    Attach(String),
    /// It is in service again.
    Enable(String),
    /// Out of service; what it may hold is not given up.
    Disable(String),
    /// It leaves the node.
    Detach(String),
    /// The disks under it are looked for anew.
    Rescan(String),
    /// Its health is looked at (AIS: FSHC).
    Check(String),
}

impl MountpathMsg {
    /// Reads the body.
    pub fn read(body: &[u8]) -> Result<Self, AisError> {
        let msg = ActionMsg::parse(body)?;
        let path = || match &msg.value {
            Value::String(path) if !path.is_empty() => Ok(path.clone()),
            got => Err(AisError::Bad(format!("{}: expected a mountpath as value, got {got}", msg.action))),
        };
        Ok(match msg.action.as_str() {
            "attach-mp" => Self::Attach(path()?),
            "enable-mp" => Self::Enable(path()?),
            "disable-mp" => Self::Disable(path()?),
            "detach-mp" => Self::Detach(path()?),
            "rescan-mp" => Self::Rescan(path()?),
            "fshc-mp" => Self::Check(path()?),
            _ => return Err(msg.unknown("mountpaths")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_name_a_mountpath() {
        let read = |body: &str| MountpathMsg::read(body.as_bytes());
        assert_eq!(read(r#"{"action":"attach-mp","value":"/m"}"#), Ok(MountpathMsg::Attach("/m".into())));
        assert_eq!(read(r#"{"action":"enable-mp","value":"/m"}"#), Ok(MountpathMsg::Enable("/m".into())));
        assert_eq!(read(r#"{"action":"disable-mp","value":"/m"}"#), Ok(MountpathMsg::Disable("/m".into())));
        assert_eq!(read(r#"{"action":"detach-mp","value":"/m"}"#), Ok(MountpathMsg::Detach("/m".into())));
        assert_eq!(read(r#"{"action":"rescan-mp","value":"/m"}"#), Ok(MountpathMsg::Rescan("/m".into())));
        assert_eq!(read(r#"{"action":"fshc-mp","value":"/m"}"#), Ok(MountpathMsg::Check("/m".into())));
        for bad in [r#"{"action":"attach-mp"}"#, r#"{"action":"detach-mp","value":""}"#, r#"{"action":"x"}"#]
        {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad}");
        }
    }
}
