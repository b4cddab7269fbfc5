use std::sync::atomic::Ordering;

use super::{Node, action};

#[test]
fn health() {
    let node = Node::start();
    for query in ["", "?readiness=true", "?prr=true", "?apr=true"] {
        let answer = node.ask(&format!("GET /v1/health{query}"), "");
        assert_eq!(answer.status, 200, "{query}");
        for name in ["Ais-Node-Uptime", "Ais-Cluster-Uptime"] {
            assert!(answer.header(name).unwrap().parse::<u64>().unwrap() > 0);
        }
    }
    let state = node.json("GET /v1/health?cii=true", "");
    assert_eq!(state["flags"], 6 | 1 << 13, "a disk has failed");
    assert_eq!(state["smap"]["Primary"]["id"], node.handle.identity().gateway.as_str());
    node.memory.unready.store(true, Ordering::Relaxed);
    for (query, status) in [("", 200), ("?readiness=true", 503), ("?prr=true", 503)] {
        assert_eq!(node.get(&format!("GET /v1/health{query}"), "").0, status, "{query}");
    }
}

#[test]
fn maps_and_configuration() {
    let node = Node::start();
    let id = node.handle.identity().clone();
    for path in ["daemon", "cluster"] {
        let smap = node.json(&format!("GET /v1/{path}?what=smap"), "");
        assert_ne!(smap["version"], "0");
        assert_eq!(smap["uuid"], id.cluster.as_str());
        assert_eq!(smap["proxy_si"]["daemon_id"], id.gateway.as_str());
        assert_eq!(smap["proxy_si"]["public_net"]["direct_url"], "http://127.0.0.1:8080");
        assert_eq!(smap["tmap"][id.target.as_str()]["daemon_type"], "target");
        assert_eq!(smap["pmap"][id.gateway.as_str()]["daemon_type"], "proxy");
        assert_eq!(node.json(&format!("GET /v1/{path}?what=bmd"), "")["uuid"], id.cluster.as_str());
    }
    let config = node.json("GET /v1/cluster?what=cluster_config", "");
    assert_eq!(config["auth"]["client_auth_required"], false);
    assert_eq!(config["uuid"], id.cluster.as_str());
    let of =
        |node_id: &str, what: &str| format!("GET /v1/reverse/daemon?what={what}\nAis-Node-Id: {node_id}");
    let local = node.json(&of(id.target.as_str(), "config"), "");
    assert_eq!(local["host_net"]["port"], "8080");
    assert_eq!(local["checksum"]["type"], "xxhash2");
    assert_eq!(local["fspaths"]["/mp1"], "");
    assert_eq!(node.json(&of(id.target.as_str(), "snode"), "")["daemon_type"], "target");
    assert_eq!(node.json(&of(id.gateway.as_str(), "snode"), "")["daemon_type"], "proxy");
    let (status, body) = node.get(&of("nobody123", "snode"), "");
    assert_eq!((status, body.contains("nobody123")), (404, true));
}

#[test]
fn configuration_is_set_and_kept() {
    let node = Node::start();
    node.ok("PUT /v1/cluster/set-config?checksum.type=md5", "");
    node.ok("PUT /v1/cluster", &action("set-config", r#"{"timeout":{"send_file_time":"10m"}}"#));
    let config = |node: &Node| node.json("GET /v1/cluster?what=cluster_config", "");
    assert_eq!(config(&node)["checksum"]["type"], "md5");
    assert_eq!(config(&node)["timeout"]["send_file_time"], "10m");
    let version = config(&node)["config_version"].clone();
    for (target, body, status) in [
        ("PUT /v1/cluster/set-config?nope=1", "", 400),
        ("PUT /v1/cluster/set-config?checksum.type=x", "", 400),
        ("PUT /v1/cluster/set-config?checksum.type=md5&transient=true", "", 501),
        ("PUT /v1/cluster/set-config?mirror.enabled=true", "", 501),
        ("PUT /v1/cluster/set-config?rate_limit.frontend.enabled=true", "", 501),
        ("PUT /v1/cluster/set-config?rate_limit.backend.enabled=yes", "", 501),
        ("PUT /v1/cluster/set-config?auth.client_auth_required=true", "", 501),
        ("PUT /v1/cluster", &action("start", r#"{"Kind":"rechunk"}"#), 501),
        ("PUT /v1/cluster", &action("start-maintenance", r#"{"sid":"x"}"#), 404),
        ("PUT /v1/cluster", &action("decommission", "null"), 501),
        ("PUT /v1/cluster/proxy/nobody99", "", 404),
        ("PUT /v1/cluster", &action("rotate-logs", "null"), 501),
        ("PUT /v1/cluster", &action("what", "null"), 400),
        ("PUT /v1/daemon", &action("reset-config", "null"), 501),
    ] {
        let (got, text) = node.get(target, body);
        assert_eq!(got, status, "{target} {body}: {text}");
        let error: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["status"], status);
        assert_eq!(
            (error["method"].as_str(), error["remote_addr"].as_str()),
            (Some("PUT"), Some("127.0.0.1:51234"))
        );
    }
    assert_eq!(config(&node)["config_version"], version);
    let node = node.restarted();
    assert_eq!(config(&node)["checksum"]["type"], "md5");
    node.ok("PUT /v1/cluster", &action("reset-config", "null"));
    assert_eq!(config(&node)["checksum"]["type"], "xxhash2");
    node.ok("PUT /v1/cluster", &action("stop", r#"{"ID":"Ab3kQ9z0x","Kind":"lru"}"#));
}

#[test]
fn figures_of_nodes() {
    let node = Node::start();
    let id = node.handle.identity().clone();
    let (gateway, target) = (id.gateway.as_str(), id.target.as_str());
    let stats = node.json("GET /v1/cluster?what=node_stats", "");
    // A bare number: the `ais` command line refuses the whole answer for any other form.
    assert_eq!(stats["target"][target]["tracker"]["get.n"], 3);
    // Both say how long they run, in nanoseconds.
    for tracker in [&stats["target"][target]["tracker"], &stats["proxy"][gateway]["tracker"]] {
        assert!(tracker["up.ns.time"].as_u64().unwrap() > 0, "{tracker}");
    }
    assert_eq!(stats["proxy"][gateway]["snode"]["daemon_id"], gateway);
    let status = node.json(&format!("GET /v1/reverse/daemon?what=node_status\nAis-Node-Id: {target}"), "");
    assert_eq!(status["ais_version"], weir_ais::AIS_VERSION);
    assert_eq!(status["capacity"]["mountpaths"]["/mp1"]["pct_used"], 25);
    assert_eq!(status["cluster"]["flags"], 6 | 1 << 13);
    let sys = node.json("GET /v1/cluster?what=sysinfo", "");
    assert!(sys["proxy"][gateway]["mem_used"].as_u64().unwrap() > 0);
    // Space is that of mountpaths in service, as with AIS.
    assert_eq!(sys["target"][target]["fs_capacity"], "1000");
    let mountpaths = node.json("GET /v1/cluster?what=mountpaths", "");
    assert_eq!(mountpaths["targets"][target]["available"][0], "/mp1");
    assert_eq!(mountpaths["targets"][target]["disabled"][0], "/mp2");
    let disk = node.json("GET /v1/daemon?what=disk", "");
    assert_eq!(disk["total_used"], "250");
    let idle = serde_json::json!({"nvme0n1": {"RBps": 0, "Ravg": 0, "WBps": 0, "Wavg": 0, "Util": 0}});
    assert_eq!(disk["AllDiskStats"], idle);
    assert_eq!(node.json("GET /v1/cluster?what=backends", "")[0], "aws");
    assert_eq!(node.json("GET /v1/cluster?what=remote", "")["ver"], 1);
    assert_eq!(node.get("GET /v1/cluster?what=target_ips", ""), (200, "127.0.0.1".into()));
    assert_eq!(node.get("GET /v1/daemon?what=software_version", "").1, weir_ais::AIS_VERSION);
    let kinds = node.json("GET /v1/daemon?what=metrics", "");
    assert_eq!((&kinds["get.n"], &kinds["get.size"]), (&"counter".into(), &"size".into()));
    let (status, log) = node.get("GET /v1/daemon?what=log&severity=info", "");
    assert!(status == 200 && log.contains(" at 2"), "{status} {log}");
    let (status, error) = node.get("GET /v1/daemon?what=log&severity=error&offset=1000000", "");
    assert!(status == 400 && error.contains("rotated"), "{status} {error}");
    let archive = node.ask("GET /v1/daemon?what=log&all=true", "");
    assert_eq!((archive.status, &archive.body[..2]), (200, [0x1f, 0x8b].as_slice()));
    node.ok("PUT /v1/daemon", &action("rotate-logs", "null"));
    assert!(node.get("GET /v1/daemon?what=log", "").1.starts_with("Rotated at "));
    assert_eq!(node.get("POST /v1/tokens", "").0, 200);
    let metrics = node.ask("GET /metrics", "");
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "weir_shard_connections 1\n",
        "weir_raft_leads 1\n",
        "weir_control_answers_total{api=\"ais\",status=\"200\"}",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn questions_about_jobs() {
    let node = Node::start();
    let target = node.handle.identity().target.to_string();
    let by_kind = r#"{"ID":"","Kind":"get-batch","DaemonID":"","Bck":null,"Buckets":null}"#;
    let snaps = node.json("GET /v1/cluster?what=qryxstats", by_kind);
    assert_eq!(snaps, serde_json::json!({ target.as_str(): [] }));
    assert_eq!(
        node.get("GET /v1/cluster?what=running_all", r#"{"kind":"","show_active":true}"#),
        (200, "[]".into())
    );
    assert_eq!(
        node.get("GET /v1/cluster?what=status_all", r#"{"kind":"","show_active":false}"#),
        (200, "[]".into())
    );
    for (what, body) in [
        ("qryxstats", r#"{"ID":"kN3lq0Yx9","Kind":""}"#),
        ("qryxstats", r#"{"Kind":"nonsense"}"#),
        ("status", r#"{"ID":"kN3lq0Yx9","Kind":"copy-bck"}"#),
        ("running_all", r#"{"kind":"nonsense"}"#),
    ] {
        let (status, text) = node.get(&format!("GET /v1/cluster?what={what}"), body);
        assert_eq!(status, 404, "{what} {body}: {text}");
        assert!(text.contains("not found") && text.contains("ErrXactNotFound"), "{text}");
    }
}
