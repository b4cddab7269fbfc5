//! Listings, counts and removals of many over several targets: each node answers for all of them.

mod nodes;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodes::{Answer, Cluster, until};
use serde_json::Value;

const NAMES: usize = 150;
/// Names that are written while others list.
const WRITTEN: usize = 400;

fn names() -> BTreeSet<String> {
    (0..NAMES).map(|i| format!("{}/{}/n{i:03}", ["a", "b", "c"][i % 3], i % 7)).collect()
}

fn cluster(dir: &std::path::Path) -> Cluster {
    let cluster = Cluster::start(dir, 1, 3, false);
    cluster.create(0, "bkt");
    for (i, name) in names().iter().enumerate() {
        let put = cluster.of(i % 4, &format!("PUT /s3/bkt/{name}"), &[], name.as_bytes());
        assert_eq!(put.status, 200, "{put:?}");
    }
    cluster
}

/// What stands between every two tags of a name.
fn all_of(answer: &Answer, tag: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    let opened = format!("<{tag}>");
    text.split(&opened).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

fn of(names: &BTreeSet<String>) -> Vec<String> {
    names.iter().cloned().collect()
}

/// A page of AIS's listing.
fn page(cluster: &Cluster, node: usize, message: &Value) -> Value {
    let body = serde_json::json!({ "action": "list", "value": message }).to_string();
    let fields = ["Content-Type: application/json", "Accept: application/json"];
    let answer = cluster.of(node, "GET /v1/buckets/bkt?provider=ais", &fields, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn every_node_lists_what_all_targets_hold() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path());
    let all = names();
    let owners: BTreeSet<usize> = all.iter().map(|name| cluster.owner("bkt", name)).collect();
    assert_eq!(owners.len(), 3, "the names are spread");
    for node in 0..4 {
        for size in [7, 150, 1000] {
            let (mut got, mut token, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let message = serde_json::json!({
                    "props": "name,size,location", "pagesize": size.to_string(), "continuation_token": token,
                });
                let page = page(&cluster, node, &message);
                for entry in page["entries"].as_array().into_iter().flatten() {
                    let name = entry["name"].as_str().unwrap();
                    assert_eq!(entry["size"], name.len().to_string(), "{entry}");
                    got.push(name.to_owned());
                }
                pages += 1;
                token = page["continuation_token"].as_str().unwrap_or_default().to_owned();
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(got, of(&all), "n{node} in pages of {size}");
            assert!(pages >= NAMES / size, "{pages} pages of {size}");
        }
        // Both generations of S3's listing, rolled up and paged.
        let flat = cluster.of(node, "GET /s3/bkt?list-type=2", &[], b"");
        assert_eq!(all_of(&flat, "Key"), of(&all));
        let top = cluster.of(node, "GET /s3/bkt?delimiter=/", &[], b"");
        let roots: Vec<String> = all_of(&top, "Prefix").into_iter().filter(|p| !p.is_empty()).collect();
        assert_eq!(all_of(&top, "Key").len(), 0);
        assert_eq!(roots, ["a/", "b/", "c/"]);
        let below = cluster.of(node, "GET /s3/bkt?list-type=2&prefix=b/3/&delimiter=/", &[], b"");
        assert_eq!(
            all_of(&below, "Key"),
            all.iter().filter(|n| n.starts_with("b/3/")).cloned().collect::<Vec<_>>()
        );
        let (mut got, mut marker) = (Vec::new(), String::new());
        loop {
            let page = cluster.of(node, &format!("GET /s3/bkt?max-keys=11&marker={marker}"), &[], b"");
            let keys = all_of(&page, "Key");
            assert!(keys.len() <= 11);
            marker = keys.last().unwrap().clone();
            got.extend(keys);
            if all_of(&page, "IsTruncated") == ["false"] {
                break;
            }
        }
        assert_eq!(got, of(&all));
    }
    let entry =
        &page(&cluster, 0, &serde_json::json!({ "props": "name,location", "pagesize": "1" }))["entries"][0];
    let owner = cluster.nodes[cluster.owner("bkt", entry["name"].as_str().unwrap())].port.to_string();
    let map = cluster.of(0, "GET /v1/daemon?what=smap", &[], b"");
    let map: Value = serde_json::from_slice(&map.body).unwrap();
    let targets = map["tmap"].as_object().unwrap();
    let id = targets.iter().find(|(_, t)| t["public_net"]["daemon_port"] == owner.as_str()).unwrap().0;
    assert!(entry["location"].as_str().is_some_and(|at| at.contains(id.as_str())), "{entry}");
}

#[test]
fn many_are_removed_and_counted_wherever_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path());
    let mut all = names();
    let summary = |node: usize| {
        let ask = |value: Value| {
            let body = serde_json::json!({ "action": "summary-bck", "value": value }).to_string();
            let fields = ["Content-Type: application/json"];
            cluster.of(node, "GET /v1/buckets/bkt?provider=ais", &fields, body.as_bytes())
        };
        let id = ask(serde_json::json!({ "uuid": "", "prefix": "", "cached": true, "present": true })).text();
        let done = until("the summary is done", || {
            let answer =
                ask(serde_json::json!({ "uuid": id.trim(), "prefix": "", "cached": true, "present": true }));
            (answer.status == 200).then_some(answer)
        });
        serde_json::from_slice::<Value>(&done.body).unwrap()
    };
    for node in 0..4 {
        let gone: Vec<String> = all.iter().filter(|n| n.ends_with(&node.to_string())).cloned().collect();
        let listed: String = gone
            .iter()
            .chain([&"absent".to_owned()])
            .map(|n| format!("<Object><Key>{n}</Key></Object>"))
            .collect();
        let body = format!("<Delete>{listed}<Object><Key>a/0/n000</Key><ETag>no</ETag></Object></Delete>");
        let md5 = "x-amz-checksum-algorithm: CRC32";
        let crc =
            format!("x-amz-checksum-crc32: {}", nodes::base64(&nodes::crc32(body.as_bytes()).to_be_bytes()));
        let answer = cluster.of(node, "POST /s3/bkt?delete", &[md5, &crc], body.as_bytes());
        let deleted = all_of(&answer, "Key");
        assert!(gone.iter().all(|name| deleted.contains(name)), "{answer:?}");
        if node > 0 {
            // It went first.
            assert!(answer.text().contains("PreconditionFailed"), "{}", answer.text());
        }
        all.retain(|name| !gone.contains(name));
        let left = cluster.of((node + 1) % 4, "GET /s3/bkt?list-type=2", &[], b"");
        assert_eq!(all_of(&left, "Key"), of(&all));
        let counted = summary(node);
        let bytes: usize = all.iter().map(String::len).sum();
        assert_eq!(
            counted[0]["ObjCount"]["obj_count_present"].to_string().trim_matches('"'),
            all.len().to_string(),
            "{counted}"
        );
        assert_eq!(
            counted[0]["TotalSize"]["size_all_present_objs"].to_string().trim_matches('"'),
            bytes.to_string(),
            "{counted}"
        );
    }
    let keys: Vec<String> = (0..9).map(|i| format!("up{i}")).collect();
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(cluster.of(i % 4, &format!("POST /s3/bkt/{key}?uploads"), &[], b"").status, 200);
    }
    for node in 0..4 {
        let uploads = cluster.of(node, "GET /s3/bkt?uploads", &[], b"");
        assert_eq!(all_of(&uploads, "Key"), keys);
    }
}

#[test]
fn a_listing_that_would_miss_names_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = cluster(dir.path());
    cluster.nodes[2].kill();
    for node in [0, 1, 3] {
        let list = cluster.of(node, "GET /s3/bkt?list-type=2", &[], b"");
        assert_eq!(list.status, 503, "{list:?}");
    }
    cluster.nodes[2].start();
    cluster.agreed(None);
    assert_eq!(all_of(&cluster.of(0, "GET /s3/bkt?list-type=2", &[], b""), "Key"), of(&names()));
}

#[test]
fn what_was_acknowledged_before_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path());
    let (all, written) = (names(), AtomicUsize::new(0));
    let name_of = |i: usize| format!("m/{:03}", i * 7919 % WRITTEN);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..WRITTEN {
                let put = cluster.of(i % 4, &format!("PUT /s3/bkt/{}", name_of(i)), &[], b"x");
                assert_eq!(put.status, 200, "{put:?}");
                written.store(i + 1, Ordering::Release);
            }
        });
        for node in (0..4).cycle() {
            let before = written.load(Ordering::Acquire);
            let (mut got, mut token) = (Vec::new(), String::new());
            loop {
                let line = format!("GET /s3/bkt?list-type=2&max-keys=61{token}");
                let page = cluster.of(node, &line, &[], b"");
                got.extend(all_of(&page, "Key"));
                match all_of(&page, "NextContinuationToken").first() {
                    Some(next) => token = format!("&continuation-token={next}"),
                    None => break,
                }
            }
            assert!(got.is_sorted_by(|a, b| a < b), "in order and once: {got:?}");
            let listed: BTreeSet<String> = got.into_iter().collect();
            let missing =
                (0..before).map(name_of).chain(all.iter().cloned()).find(|name| !listed.contains(name));
            assert_eq!(missing, None, "{before} were written before");
            if before == WRITTEN {
                break;
            }
        }
    });
}
