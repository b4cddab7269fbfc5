//! `/metrics`: the node's figures and the control core's own, in Prometheus text.

use super::space;
use crate::ControlResponse;
use crate::core::Core;

/// Content type of the exposition format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures of this node.
pub(super) async fn answer(core: &Core, under_way: usize) -> ControlResponse {
    let mut text = core.backend.metrics_text();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if let (Ok(view), Ok(mountpaths)) = (core.view(), core.backend.mountpaths().await) {
        text.push_str(&space::figures(&view.config, &mountpaths));
    }
    text.push_str(&core.figures.render(core.raft.progress(), core.started.elapsed(), under_way));
    ControlResponse::new(200).body(CONTENT_TYPE, text)
}
