//! The rules of this tree that no compiler knows: arrows between crates, where `unsafe` may stand, words that must not.

use crate::arrows;
use crate::steps::{Count, root, say};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Past this many lines a file is named, so that somebody asks whether two things live there. Not an error.
const LINES_ASKED: usize = 500;

/// Words that mark unfinished work or a name without a meaning, and what to write instead.
const WORDS: &[(&str, &str)] = &[
    ("TODO", "finish it, or say in a sentence what is not supported"),
    ("FIXME", "finish it, or say in a sentence what is not supported"),
    ("XXX", "say it in a sentence"),
    ("HACK", "say in a sentence why it is right"),
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
];

/// Rules for single lines of sources below a directory.
const PLACES: &[(&str, &[&str], &str)] = &[
    ("net/", &["std::net::Tcp", "std::fs::", "std::thread"], "net/ does no I/O and starts no thread"),
    (
        "engine/types/",
        &["std::net", "std::fs::", "std::thread", "Instant::now", "SystemTime::now"],
        "types is pure",
    ),
    (
        "engine/cluster/",
        &["std::net::Tcp", "std::fs::", "std::thread", "Instant::now", "SystemTime::now"],
        "cluster is pure",
    ),
    (
        "engine/store/src/",
        &["std::net", "std::fs::", "Instant::now", "SystemTime::now"],
        "store reaches disks through `Disk`, time as a value",
    ),
];

/// Checks everything; what was checked and what is wrong.
pub(crate) fn run() -> (Count, Vec<String>) {
    let root = root();
    let mut findings = manifests(&root);
    let files = tracked(&root);
    for path in &files {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        let name = path.to_string_lossy();
        findings.extend(source(&name, &text));
        let lines = text.lines().count();
        if lines > LINES_ASKED {
            say(&format!("{name}: {lines} lines: do two things live there?"));
        }
    }
    if files.is_empty() {
        findings.push("no source was found: is this a git checkout?".into());
    }
    let failed = findings.len() as u64;
    (Count { passed: files.len() as u64 - failed.min(files.len() as u64), failed, skipped: 0 }, findings)
}

/// The Rust sources that git knows.
fn tracked(root: &Path) -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root).output();
    let listed = listed.map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listed).lines().map(PathBuf::from).collect()
}

fn source(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // This file is a list of what must not be said.
    let own = name.ends_with("xtask/src/tidy.rs");
    let mut in_tests = name.contains("/tests/") || name.ends_with("/tests.rs");
    for (number, line) in text.lines().enumerate() {
        let mut find = |what: String| findings.push(format!("{name}:{}: {what}", number + 1));
        let code = code_of(line);
        if !own {
            for (word, instead) in WORDS {
                if line.contains(word) && has_word(line, word) {
                    find(format!("{word}: {instead}"));
                }
            }
        }
        if !name.starts_with("datapath/ring/") && has_word(&code, "unsafe") {
            find("unsafe stands only in datapath/ring".into());
        }
        in_tests |= code.trim_start().starts_with("#[cfg(test)]");
        if in_tests {
            continue;
        }
        for (place, words, rule) in PLACES {
            for word in words.iter().filter(|_| name.starts_with(place)) {
                if code.contains(word) {
                    find(format!("{word}: {rule}"));
                }
            }
        }
    }
    findings
}

/// A line without its comment and without what stands between quotes.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let (mut quoted, mut escaped, mut before) = (false, false, ' ');
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && before == '/' => break,
            _ if !quoted => code.push(c),
            _ => {}
        }
        before = c;
    }
    code
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let after = text[at + word.len()..].chars().next();
        !text[..at].chars().next_back().is_some_and(part) && (word.ends_with('!') || !after.is_some_and(part))
    })
}

fn manifests(root: &Path) -> Vec<String> {
    let read = |path: &Path| -> Result<toml::Table, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        text.parse().map_err(|e| format!("{}: {e}", path.display()))
    };
    let result = (|| {
        let workspace = read(&root.join("Cargo.toml"))?;
        let members =
            workspace.get("workspace").and_then(|w| w.get("members")).and_then(toml::Value::as_array);
        let members: Vec<String> =
            members.into_iter().flatten().filter_map(|m| m.as_str().map(str::to_owned)).collect();
        let mut crates = BTreeMap::new();
        let mut tables = Vec::new();
        for dir in members {
            let manifest = read(&root.join(&dir).join("Cargo.toml"))?;
            let name = manifest.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
            crates.insert(name.unwrap_or_default().to_owned(), dir.clone());
            tables.push((dir, manifest));
        }
        let architecture = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md"));
        let table = arrows::table(&architecture.map_err(|e| format!("docs/ARCHITECTURE.md: {e}"))?)?;
        let mut findings = Vec::new();
        for (dir, manifest) in &tables {
            findings.extend(arrows::check(dir, manifest, &crates, &table));
            findings.extend(absent(dir, manifest));
            findings.extend(arrows::confined(dir, manifest));
        }
        Ok::<_, String>(findings)
    })();
    result.unwrap_or_else(|e| vec![e])
}

fn absent(dir: &str, manifest: &toml::Table) -> Vec<String> {
    let mut findings = Vec::new();
    let used = manifest.get("dependencies").and_then(toml::Value::as_table);
    for (dirs, names) in arrows::ABSENT.iter().filter(|(dirs, _)| dirs.contains(&dir)) {
        for name in names.iter().filter(|n| used.is_some_and(|u| u.contains_key(**n))) {
            // JSON shapes are what net/ais is for.
            findings
                .push(format!("{dir}/Cargo.toml: {name} is what {} must know nothing of", dirs.join(", ")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |name: &str, text: &str, expected: usize| {
            assert_eq!(source(name, text).len(), expected, "{name}: {text}");
        };
        check("net/s3/src/a.rs", "let a = 1; // fine", 0);
        check("net/s3/src/a.rs", "unsafe { a() }", 1);
        check("datapath/ring/src/a.rs", "unsafe { a() }", 0);
        check("net/s3/src/a.rs", "// nothing unsafe here\nlet a = \"rm-unsafe\";", 0);
        check("net/s3/src/a.rs", "#![forbid(unsafe_code)]", 0);
        check("net/s3/src/a.rs", "// TODO later", 1);
        check("net/s3/src/a.rs", "    todo!()", 1);
        check("net/s3/src/a.rs", "// a XXXL case", 0);
        check("net/s3/src/a.rs", "use std::fs::File;", 1);
        check("net/s3/src/a.rs", "#[cfg(test)]\nmod tests {\nuse std::fs::File;", 0);
        check("net/s3/tests/a.rs", "use std::fs::File;", 0);
        check("engine/store/src/a.rs", "let now = Instant::now();", 1);
        check("datapath/shard/src/a.rs", "let now = Instant::now();", 0);
    }
}
