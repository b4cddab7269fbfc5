//! A node by itself, and what is seen of its mountpaths.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::nodes::{Answer, ask, free_ports, until};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A node by itself.
pub(crate) struct Node {
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Node {
    /// Started, with bucket `b`.
    pub(crate) fn serving(dir: &Path, mountpaths: &[&str]) -> Self {
        let mut node = Self { dir: dir.to_owned(), port: free_ports(1), child: None };
        node.start(mountpaths);
        node.create("b");
        node
    }

    pub(crate) fn path(&self, mountpath: &str) -> String {
        self.dir.join(mountpath).display().to_string()
    }

    pub(crate) fn start_planted(&mut self, mountpaths: &[&str], planted: &str) {
        let mut command = Command::new(WEIR);
        command.args(["serve", "--no-pin", "--shards", "2", "--log", "error", "--dir"]);
        command.arg(self.dir.join("node")).args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        for mountpath in mountpaths {
            command.args(["--mountpath", &self.path(mountpath)]);
        }
        self.child = Some(command.env("WEIR_PLANTED", planted).stdin(Stdio::null()).spawn().unwrap());
        until("the node is ready", || {
            self.ask("GET /v1/health?prr=true", b"").filter(|answer| answer.status == 200)
        });
    }

    pub(crate) fn start(&mut self, mountpaths: &[&str]) {
        self.start_planted(mountpaths, "");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }

    pub(crate) fn ask(&self, line: &str, body: &[u8]) -> Option<Answer> {
        ask(self.port, line, &[], body)
    }

    pub(crate) fn of(&self, line: &str, body: &[u8]) -> Answer {
        self.ask(line, body).unwrap_or_else(|| panic!("no answer to {line}"))
    }

    fn create(&self, bucket: &str) {
        let made = self.of(&format!("POST /v1/buckets/{bucket}?provider=ais"), br#"{"action":"create-bck"}"#);
        assert_eq!(made.status, 200, "{made:?}");
    }

    pub(crate) fn put(&self, name: &str, body: &[u8]) -> u16 {
        self.of(&object("PUT", name), body).status
    }

    pub(crate) fn get(&self, name: &str) -> Answer {
        self.of(&object("GET", name), b"")
    }

    /// Changes a mountpath as AIS's clients do.
    pub(crate) fn change(&self, method: &str, action: &str, mountpath: &str, query: &str) -> Answer {
        let body = format!(r#"{{"action":"{action}","value":{:?}}}"#, self.path(mountpath));
        self.of(&format!("{method} /v1/daemon/mountpaths{query}"), body.as_bytes())
    }

    pub(crate) fn attach(&self, mountpath: &str) {
        fs::create_dir_all(self.path(mountpath)).unwrap();
        let answer = self.change("PUT", "attach-mp", mountpath, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Mountpaths in service, on their way out, and out of service.
    pub(crate) fn mountpaths(&self) -> [Vec<String>; 3] {
        let answer = self.of("GET /v1/daemon?what=mountpaths", b"");
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        ["available", "waiting_dd", "disabled"].map(|state| {
            let paths = json[state].as_array().cloned().unwrap_or_default();
            let name = |path: &serde_json::Value| path.as_str()?.rsplit('/').next().map(str::to_owned);
            let mut names: Vec<String> = paths.iter().filter_map(name).collect();
            names.sort();
            names
        })
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.of("GET /metrics", b"").text().lines().any(|line| line == "weir_disks_settled 1")
    }

    pub(crate) fn settled(&self) {
        until("every name is where it belongs", || self.is_settled().then_some(()));
    }

    /// Names of objects that are files of a mountpath.
    pub(crate) fn files(&self, mountpath: &str) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, out: &mut Vec<String>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => walk(&entry.path(), root, out),
                    false => out.push(entry.path().strip_prefix(root).unwrap().display().to_string()),
                }
            }
        }
        let root = self.dir.join(mountpath).join("@ais/b/%ob");
        let mut out = Vec::new();
        walk(&root, &root, &mut out);
        out
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn object(method: &str, name: &str) -> String {
    format!("{method} /v1/objects/b/{name}?provider=ais")
}
