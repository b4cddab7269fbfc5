//! The few requests that a rig makes itself: readiness and buckets.

use std::net::TcpListener;
use std::time::Duration;

use crate::error::{PerfError, Result};

/// Below those that the kernel gives to connections.
const FIRST_PORT: u16 = 20_000;

/// Requests whose statuses are the caller's to judge; one agent keeps its connections.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.timeout_global(Some(Duration::from_secs(30))).http_status_as_error(false).build().into()
}

/// The status of a GET; `None` when nobody answers.
pub(crate) fn get_status(url: &str) -> Option<u16> {
    agent().get(url).call().ok().map(|response| response.status().as_u16())
}

/// The text of a page.
pub(crate) fn get_text(url: &str) -> Result<String> {
    let failed = |error: ureq::Error| PerfError::Server { name: url.into(), got: error.to_string() };
    agent().get(url).call().map_err(failed)?.body_mut().read_to_string().map_err(failed)
}

/// Makes an AIS bucket; one that is there already is taken as it is. `relaxed` sets its durability.
pub(crate) fn make_bucket(endpoint: &str, bucket: &str, relaxed: bool) -> Result<()> {
    let url = format!("{endpoint}/v1/buckets/{bucket}?provider=ais");
    let made = agent().post(&url).send_json(serde_json::json!({"action": "create-bck"}));
    expect(&url, made, &[200, 409])?;
    if relaxed {
        let props = serde_json::json!({"action": "set-bprops", "value": {"durability": "relaxed"}});
        expect(&url, agent().patch(&url).send_json(props), &[200])?;
    }
    Ok(())
}

/// The answer to a POST of JSON.
pub(crate) fn post(url: &str, body: &serde_json::Value) -> Result<String> {
    expect(url, agent().post(url).send_json(body), &[200])
}

fn expect(
    url: &str,
    response: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    good: &[u16],
) -> Result<String> {
    let failed = |got: String| PerfError::Server { name: url.into(), got };
    let mut response = response.map_err(|e| failed(e.to_string()))?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().unwrap_or_default();
    if good.contains(&status) {
        return Ok(body);
    }
    Err(failed(format!("{status}: {}", super::command::tail(&body))))
}

/// The first of `count` ports in a row that are free now.
pub(crate) fn free_ports(count: usize) -> Result<u16> {
    let count = u16::try_from(count).map_err(|_| PerfError::Refused(format!("{count} ports")))?;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut rows = (FIRST_PORT..u16::MAX - count).step_by(usize::from(count.max(1)));
    let found = rows.find(|first| (*first..*first + count).all(free));
    found.ok_or_else(|| PerfError::Refused(format!("no {count} ports in a row are free")))
}

/// A port of loopback that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(PerfError::io("a free port"))?;
    Ok(listener.local_addr().map_err(PerfError::io("a free port"))?.port())
}
