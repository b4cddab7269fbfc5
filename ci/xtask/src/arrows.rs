//! The arrows between crates: what a manifest uses of ours must stand in the table of docs/ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

/// A crate's directory, as in `engine/types`.
type Dir = String;

/// The directories each crate may use, by the table.
pub(crate) fn table(architecture: &str) -> Result<BTreeMap<Dir, BTreeSet<Dir>>, String> {
    let mut rows: Vec<(Dir, String)> = Vec::new();
    for line in architecture.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, _, uses, _] = cells.as_slice() else { continue };
        let Some(dir) = name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) else { continue };
        // A crate of the root is written with its slash: other tables have names in their first column, too.
        if dir.contains('/') {
            rows.push((dir.trim_end_matches('/').to_owned(), (*uses).to_owned()));
        }
    }
    if rows.is_empty() {
        return Err("docs/ARCHITECTURE.md: expected a table of crates, found none".into());
    }
    let all: Vec<Dir> = rows.iter().map(|(dir, _)| dir.clone()).collect();
    let mut table = BTreeMap::new();
    for (i, (dir, cell)) in rows.iter().enumerate() {
        table.insert(
            dir.clone(),
            expand(cell, &all, i).map_err(|e| format!("docs/ARCHITECTURE.md, {dir}: {e}"))?,
        );
    }
    Ok(table)
}

/// `types, engine/{a,b}, net/*, all above (a note)` as directories.
fn expand(cell: &str, all: &[Dir], row: usize) -> Result<BTreeSet<Dir>, String> {
    let without_notes: String =
        cell.split('(').map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
    let mut found = BTreeSet::new();
    let mut add = |pattern: &str, matches: &dyn Fn(&str) -> bool| {
        let before = found.len();
        found.extend(all.iter().filter(|d| matches(d)).cloned());
        if found.len() == before {
            Err(format!("{pattern:?} names no other crate of the table"))
        } else {
            Ok(())
        }
    };
    for item in split_outside_braces(&without_notes) {
        match item.as_str() {
            "-" | "" => {}
            "all above" => add(&item, &|d| all[..row].iter().any(|a| a == d))?,
            _ if item.ends_with("/*") => {
                let prefix = item.trim_end_matches('*').to_owned();
                add(&item, &|d| d.starts_with(&prefix))?;
            }
            _ if item.contains('{') => {
                let (prefix, rest) = item.split_once('{').unwrap_or_default();
                for name in rest.trim_end_matches('}').split(',') {
                    let whole = format!("{prefix}{}", name.trim());
                    add(&whole, &|d| d == whole)?;
                }
            }
            _ => add(&item, &|d| d == item || d.ends_with(&format!("/{item}")))?,
        }
    }
    Ok(found)
}

fn split_outside_braces(text: &str) -> Vec<String> {
    let mut depth = 0;
    let parts = text.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(|p| p.trim().to_owned()).collect()
}

/// What is wrong with the manifest of `dir`: `crates` maps the names of our packages to their directories.
pub(crate) fn check(
    dir: &str,
    manifest: &toml::Table,
    crates: &BTreeMap<String, Dir>,
    table: &BTreeMap<Dir, BTreeSet<Dir>>,
) -> Vec<String> {
    let mut findings = Vec::new();
    let Some(may) = table.get(dir) else {
        return vec![format!("{dir}: a crate that is not in the table of docs/ARCHITECTURE.md")];
    };
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    for name in dependencies.into_iter().flat_map(toml::Table::keys) {
        if let Some(used) = crates.get(name)
            && !may.contains(used)
        {
            findings.push(format!(
                "{dir}/Cargo.toml: uses {used}, which the table of docs/ARCHITECTURE.md does not allow"
            ));
        }
    }
    let lints = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool);
    if lints != Some(true) && dir != "datapath/ring" {
        findings.push(format!("{dir}/Cargo.toml: expected the workspace's lints"));
    }
    findings
}

/// What a crate must know nothing of, whoever brings it: third-party crates by the tree they are forbidden in.
pub(crate) const ABSENT: &[(&[&str], &[&str])] = &[
    (
        &["engine/types", "engine/cluster", "engine/store"],
        &["tokio", "io-uring", "nix", "libc", "axum", "hyper", "http", "serde_json", "tracing"],
    ),
    (&["net/http1", "net/ais", "net/s3", "net/auth"], &["tokio", "io-uring", "nix", "libc", "axum", "hyper"]),
];

/// Runtimes that our reactor is compared with, and the only directories that may bring them: nothing of a node runs on them.
pub(crate) const CONFINED: &[(&str, &[&str])] =
    &[("glommio", &["perf"]), ("monoio", &["perf", "tools/load"])];

/// What of [`CONFINED`] the manifest of `dir` brings although it may not.
pub(crate) fn confined(dir: &str, manifest: &toml::Table) -> Vec<String> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let used = |name: &str| {
        let tables = sections.iter().filter_map(|s| manifest.get(*s)?.as_table());
        tables.into_iter().any(|table| table.contains_key(name))
    };
    let wrong = CONFINED.iter().filter(|(name, dirs)| !dirs.contains(&dir) && used(name));
    wrong.map(|(name, dirs)| format!("{dir}/Cargo.toml: {name} is for {} alone", dirs.join(", "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
| crate | what | may use |
|---|---|---|
| `engine/types` | words | - |
| `engine/store` | files | types |
| `net/http1` | bytes | types |
| `net/s3` | xml | types, http1 |
| `datapath/shard` | a core | engine/{types,store}, net/* (all of it) |
| `datapath/node` | a process | all above |
| `tools/x` | a tool | node, types (its workload, only) |
| `perf/` | measurements | types |
";

    #[test]
    fn cells_are_expanded() {
        let table = table(TEXT).unwrap();
        let check = |dir: &str, expected: &[&str]| {
            assert_eq!(table[dir].iter().map(String::as_str).collect::<Vec<_>>(), expected, "{dir}");
        };
        check("engine/types", &[]);
        check("net/s3", &["engine/types", "net/http1"]);
        check("datapath/shard", &["engine/store", "engine/types", "net/http1", "net/s3"]);
        check("datapath/node", &["datapath/shard", "engine/store", "engine/types", "net/http1", "net/s3"]);
        check("tools/x", &["datapath/node", "engine/types"]);
        check("perf", &["engine/types"]);
        assert!(super::table("no table").is_err());
        assert!(super::table(&TEXT.replace("| types |", "| tpyes |")).is_err());
    }

    #[test]
    fn other_runtimes_stay_where_they_are_compared() {
        let check = |dir: &str, manifest: &str, expected: usize| {
            assert_eq!(confined(dir, &manifest.parse().unwrap()).len(), expected, "{dir}: {manifest}");
        };
        check("perf", "[dependencies]\nglommio = '0'\nmonoio = '0'\n", 0);
        check("tools/load", "[dependencies]\nmonoio = '0'\n", 0);
        check("tools/load", "[dependencies]\nglommio = '0'\n", 1);
        check("datapath/node", "[dependencies]\nglommio = '0'\n[dev-dependencies]\nmonoio = '0'\n", 2);
        check("datapath/ring", "[dependencies]\nlibc = '0'\n", 0);
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_found() {
        let table = table(TEXT).unwrap();
        let crates = [("w-types", "engine/types"), ("w-store", "engine/store"), ("w-s3", "net/s3")];
        let crates = crates.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
        let check = |dir: &str, manifest: &str, expected: usize| {
            let manifest: toml::Table = manifest.parse().unwrap();
            assert_eq!(check(dir, &manifest, &crates, &table).len(), expected, "{dir}");
        };
        let lints = "[lints]\nworkspace = true\n";
        check("net/s3", &format!("{lints}[dependencies]\nw-types.workspace = true\nserde = '1'\n"), 0);
        check("net/s3", &format!("{lints}[dependencies]\nw-store.workspace = true\n"), 1);
        check("engine/types", &format!("{lints}[dependencies]\nw-s3.workspace = true\n"), 1);
        check("engine/types", &format!("{lints}[dev-dependencies]\nw-s3.workspace = true\n"), 0);
        check("engine/types", "[dependencies]\n", 1);
        check("net/unknown", lints, 1);
    }
}
