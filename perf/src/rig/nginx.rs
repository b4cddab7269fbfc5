//! nginx over the same files, tuned as well as it can be: sendfile, and threads with direct I/O.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::http;
use super::process::{Server, Start};
use crate::error::{PerfError, Result};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running nginx of one worker.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) server: Server,
    /// Serves by sendfile; a set's URL is this and `/<set>`.
    pub(crate) sendfile: String,
    /// Serves by direct I/O on threads.
    pub(crate) directio: String,
}

/// Starts it over named directories, `/<name>/<file>`.
pub(crate) fn start(
    run: &Path,
    sets: &[(String, PathBuf)],
    cpus: &str,
    cgroup: Option<&Cgroup>,
) -> Result<Nginx> {
    let (sendfile, directio) = (http::free_port()?, http::free_port()?);
    let file = run.join("nginx.conf");
    let text = configuration(run, sets, sendfile, directio);
    std::fs::write(&file, text).map_err(PerfError::io(file.display().to_string()))?;
    let program = super::place::find("nginx").unwrap_or_else(|| "nginx".into());
    let mut program = Command::new(program);
    program.arg("-p").arg(run).arg("-c").arg(&file);
    let mut server = Start { name: "nginx", cpus, cgroup, dir: run }.run(&program)?;
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    // Any answer will do: there is nothing at the root.
    server.wait_ready(START_LIMIT, || http::get_status(&url(directio)).is_some())?;
    Ok(Nginx { server, sendfile: url(sendfile), directio: url(directio) })
}

fn configuration(run: &Path, sets: &[(String, PathBuf)], sendfile: u16, directio: u16) -> String {
    let mut locations = String::new();
    for (name, dir) in sets {
        let _ = writeln!(locations, "    location /{name}/ {{ alias \"{}/\"; }}", dir.display());
    }
    let run = run.display();
    format!(
        "# Object files are mode 0640, so the worker is root, too.
user root;
worker_processes 1;
daemon off;
pid {run}/nginx.pid;
error_log {run}/nginx.err;
worker_rlimit_nofile 19000;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {run}/nginx-body; proxy_temp_path {run}/nginx-proxy; fastcgi_temp_path {run}/nginx-fastcgi;
  uwsgi_temp_path {run}/nginx-uwsgi; scgi_temp_path {run}/nginx-scgi;
  keepalive_requests 1000000000; keepalive_timeout 3600; tcp_nodelay on; open_file_cache off;
  default_type application/octet-stream;
  server {{
    # tcp_nopush would make it look three times slower from 1 MiB on.
    listen 127.0.0.1:{sendfile} sndbuf=256k; sendfile on; tcp_nopush off;
{locations}  }}
  server {{
    listen 127.0.0.1:{directio}; sendfile off; aio threads; directio 512; output_buffers 2 512k;
{locations}  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_served_both_ways() {
        let sets = [("hot".to_owned(), PathBuf::from("/d0/@ais/hot/%ob"))];
        let text = configuration(Path::new("/r"), &sets, 1, 2);
        assert_eq!(text.matches("location /hot/ { alias \"/d0/@ais/hot/%ob/\"; }").count(), 2);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(
            text.contains("listen 127.0.0.1:1 sndbuf=256k")
                && text.contains("listen 127.0.0.1:2; sendfile off")
        );
    }
}
