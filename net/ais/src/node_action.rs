//! Actions on single nodes (AIS `ActValRmNode`).

use serde_json::Value;

use crate::json_fields::Fields;
use crate::{ActionMsg, AisError};

/// What is to become of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeActionKind {
    /// Own no names until it is over.
    StartMaintenance,
    /// It is over.
    StopMaintenance,
    /// Leave for good.
    Decommission,
    /// End the process; the node stays on the map.
    Shutdown,
    /// Leave the map at once; for nodes that are gone.
    RemoveUnsafe,
}

/// An action on nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAction {
    /// Which.
    pub kind: NodeActionKind,
    /// IDs, at least one.
    pub nodes: Vec<String>,
    /// Move nothing.
    pub skip_rebalance: bool,
    /// Remove the objects of a node that leaves.
    pub rm_user_data: bool,
    /// Let the process run on.
    pub no_shutdown: bool,
}

impl NodeAction {
    /// The action of a message; `None` if it is another kind of message.
    pub(crate) fn of(msg: &ActionMsg) -> Result<Option<Self>, AisError> {
        let kind = match msg.action.as_str() {
            "start-maintenance" => NodeActionKind::StartMaintenance,
            "stop-maintenance" => NodeActionKind::StopMaintenance,
            "decommission-node" => NodeActionKind::Decommission,
            "shutdown-node" => NodeActionKind::Shutdown,
            "rm-unsafe" => NodeActionKind::RemoveUnsafe,
            _ => return Ok(None),
        };
        let value = msg.value()?;
        let fields = Fields::of(&value, "node action")?;
        let mut nodes: Vec<String> = match fields.get("sids") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(ids)) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(other) => return Err(AisError::Bad(format!("sids: expected an array of IDs, got {other}"))),
        };
        let one = fields.text("sid")?;
        if !one.is_empty() {
            nodes.push(one.to_owned());
        }
        if nodes.is_empty() {
            return Err(AisError::Bad(format!("{}: expected the ID of a node (sid)", msg.action)));
        }
        let flag = |name: &str| fields.flag(name).map(Option::unwrap_or_default);
        Ok(Some(Self {
            kind,
            nodes,
            skip_rebalance: flag("skip_rebalance")?,
            rm_user_data: flag("rm_user_data")?,
            no_shutdown: flag("no_shutdown")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_name_their_nodes() {
        let read = |body: &str| NodeAction::of(&ActionMsg::parse(body.as_bytes()).unwrap());
        let got = read(r#"{"action":"decommission-node","value":{"sid":"t1t1t1t1","rm_user_data":true}}"#);
        let got = got.unwrap().unwrap();
        assert_eq!(
            (got.kind, got.nodes.as_slice()),
            (NodeActionKind::Decommission, &["t1t1t1t1".to_owned()][..])
        );
        assert!(got.rm_user_data && !got.skip_rebalance && !got.no_shutdown);
        let two = read(r#"{"action":"start-maintenance","value":{"sids":["a","b"],"skip_rebalance":true}}"#);
        assert_eq!(two.unwrap().unwrap().nodes.len(), 2);
        for bad in [r#"{"action":"rm-unsafe"}"#, r#"{"action":"shutdown-node","value":{"sids":"x"}}"#] {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(read(r#"{"action":"reset-config"}"#), Ok(None));
    }
}
