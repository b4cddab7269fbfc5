//! The cluster's configuration: AIS's sections, names and production defaults (`cmn/config.go`), so that its tools
//! can show and set them. Which settings Weir obeys is in the book.
//!
//! Left out because AIS omits them when unset: tracing, distributed sort, and every secret.
#![allow(
    missing_docs,
    reason = "fields are AIS's own settings, documented under their names in AIS's configuration"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_types::Provider;

use crate::ClusterError;
use crate::sections::{
    Checksums, Chunks, Compression, Erasure, Features, Lru, Mirror, RateLimit, Versioning, WritePolicy,
    expect, secs,
};
use crate::settings::{Patch, Scalar, Settings, assign, join, section};
use crate::units::Size;

section!(Log {
    level: String = "3".into();
    max_size: Size = Size(64 << 20);
    max_total: Size = Size(512 << 20);
    flush_time: Duration = secs(60);
    stats_time: Duration = secs(180);
    to_stderr: bool = false;
});
section!(Periodic {
    stats_time: Duration = secs(10);
    retry_sync_time: Duration = secs(2);
    notif_time: Duration = secs(30);
});
section!(Timeouts {
    cplane_operation: Duration = secs(2);
    max_keepalive: Duration = secs(5);
    max_host_busy: Duration = secs(20);
    startup_time: Duration = secs(60);
    join_startup_time: Duration = secs(180);
    send_file_time: Duration = secs(300);
    ec_streams_time: Duration = secs(600);
    object_md: Duration = secs(7200);
    cold_get_conflict: Duration = secs(5);
});
section!(Client {
    client_timeout: Duration = secs(10);
    client_long_timeout: Duration = secs(300);
    list_timeout: Duration = secs(300);
});
section!(Proxy {
    primary_url: String = String::new();
    original_url: String = String::new();
    discovery_url: String = String::new();
    non_electable: bool = false;
});
section!(Space {
    cleanupwm: i64 = 65;
    lowwm: i64 = 75;
    highwm: i64 = 90;
    out_of_space: i64 = 95;
    batch_size: i64 = 32_768;
    dont_cleanup_time: Duration = secs(1800);
});
section!(Disks {
    disk_util_low_wm: i64 = 20;
    disk_util_high_wm: i64 = 80;
    disk_util_max_wm: i64 = 95;
    iostat_time_long: Duration = secs(2);
    iostat_time_short: Duration = Duration::from_millis(100);
    iostat_time_smooth: Duration = secs(8);
});
section!(Rebalance {
    compression: Compression = Compression::Never;
    bundle_multiplier: i64 = 2;
    burst_buffer: i64 = 1024;
    dest_retry_time: Duration = secs(120);
    enabled: bool = true;
});
section!(Resilver { enabled: bool = true; });
section!(L4 { proto: String = "tcp".into(); sndrcv_buf_size: i64 = 131_072; });
section!(NetHttp {
    server_crt: String = String::new();
    server_key: String = String::new();
    client_ca_tls: String = String::new();
    client_auth_tls: i64 = 0;
    domain_tls: String = String::new();
    idle_conn_time: Duration = secs(6);
    backend_idle_conn_time: Duration = secs(6);
    idle_conns_per_host: i64 = 32;
    idle_conns: i64 = 256;
    write_buffer_size: i64 = 0;
    read_buffer_size: i64 = 0;
    use_https: bool = false;
    skip_verify: bool = false;
    chunked_transfer: bool = true;
});
section!(Net { l4: L4 = Default::default(); http: NetHttp = Default::default(); use_ipv6: bool = false; });
section!(Fshc {
    test_files: i64 = 4;
    error_limit: i64 = 2;
    io_err_limit: i64 = 10;
    io_err_time: Duration = secs(10);
    enabled: bool = true;
});
section!(Tracker { name: String = "heartbeat".into(); interval: Duration = secs(10); factor: i64 = 3; });
section!(Keepalive {
    proxy: Tracker = Default::default();
    target: Tracker = Default::default();
    num_retries: i64 = 3;
    retry_factor: i64 = 4;
});
section!(Downloader { timeout: Duration = secs(3600); });
section!(Transport {
    max_header: i64 = 4096;
    burst_buffer: i64 = 1024;
    idle_teardown: Duration = secs(4);
    quiescent: Duration = secs(10);
    lz4_block: Size = Size(256 << 10);
    lz4_frame_checksum: bool = false;
});
section!(Memsys {
    min_free: Size = Size(2 << 30);
    default_buf: Size = Size(32 << 10);
    to_gc: Size = Size(4 << 30);
    hk_time: Duration = secs(180);
    min_pct_total: i64 = 0;
    min_pct_free: i64 = 0;
});
section!(
    /// What every kind of bulk job has.
    Bulk {
        compression: Compression = Compression::Never;
        bundle_multiplier: i64 = 2;
        burst_buffer: i64 = 512;
    }
);
section!(Lso {
    compression: Compression = Compression::Never;
    bundle_multiplier: i64 = 1;
    burst_buffer: i64 = 32;
    walk_buffer: i64 = 128;
    idle_time: Duration = secs(20);
    quiescent: Duration = secs(5);
});
section!(GetBatch {
    compression: Compression = Compression::Never;
    bundle_multiplier: i64 = 2;
    burst_buffer: i64 = 512;
    max_wait: Duration = secs(20);
    warmup_workers: i64 = -1;
    max_soft_errs: i64 = 8;
    max_gfn: i64 = 5;
});
section!(RequiredClaims { aud: Option<Vec<String>> = None; });
section!(Oidc { allowed_iss: Option<Vec<String>> = None; issuer_ca_bundle: Option<String> = None; });
section!(Auth {
    client_auth_required: bool = false;
    required_claims: RequiredClaims = Default::default();
    oidc: Oidc = Default::default();
});

/// The cold tiers that are switched on, and other clusters by alias with their URLs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Backends {
    /// Providers other than AIS.
    pub providers: BTreeSet<Provider>,
    /// Alias to URLs.
    pub clusters: BTreeMap<String, Vec<String>>,
}

/// Other clusters that may be attached.
const CLUSTERS_MAX: usize = 64;

impl Settings for Backends {
    fn walk(&self, name: &str, visit: &mut dyn FnMut(&str, Scalar)) {
        visit(name, Scalar::Section);
        for provider in &self.providers {
            visit(&join(name, provider.as_str()), Scalar::Section);
        }
        let ais = join(name, "ais");
        if !self.clusters.is_empty() {
            visit(&ais, Scalar::Section);
        }
        for (alias, urls) in &self.clusters {
            visit(&join(&ais, alias), Scalar::List(urls.clone()));
        }
    }

    /// `aws` of any text switches that provider on; `ais.<alias>` takes URLs joined by commas, none removes it.
    fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
        let (provider, alias) = path.split_once('.').unwrap_or((path, ""));
        match (Provider::parse(provider).filter(|_| !provider.is_empty()), alias) {
            (Some(Provider::Ais), "") if text.is_empty() => {}
            (Some(Provider::Ais), alias) if !alias.is_empty() => {
                let urls: Vec<String> = text.split(',').filter(|u| !u.is_empty()).map(Into::into).collect();
                if urls.is_empty() {
                    self.clusters.remove(alias);
                } else if self.clusters.len() < CLUSTERS_MAX || self.clusters.contains_key(alias) {
                    self.clusters.insert(alias.to_owned(), urls);
                } else {
                    return Err(format!("at most {CLUSTERS_MAX} clusters"));
                }
            }
            (Some(provider), "") if provider.is_remote() => {
                self.providers.insert(provider);
            }
            (None, "") if text.is_empty() => {}
            _ => return Err(String::new()),
        }
        Ok(())
    }
}

section!(
    /// The configuration that all nodes share. Its version, UUID and time of update are in the cluster view.
    ClusterConfig {
        write_policy: WritePolicy = Default::default();
        checksum: Checksums = Default::default();
        tcb: Bulk = Default::default();
        tco: Bulk = Default::default();
        arch: Bulk = Default::default();
        lso: Lso = Default::default();
        rate_limit: RateLimit = Default::default();
        keepalivetracker: Keepalive = Default::default();
        rebalance: Rebalance = Default::default();
        log: Log = Default::default();
        ec: Erasure = Default::default();
        get_batch: GetBatch = Default::default();
        space: Space = Default::default();
        transport: Transport = Default::default();
        disk: Disks = Default::default();
        fshc: Fshc = Default::default();
        chunks: Chunks = Default::default();
        lru: Lru = Default::default();
        mirror: Mirror = Default::default();
        periodic: Periodic = Default::default();
        client: Client = Default::default();
        downloader: Downloader = Default::default();
        auth: Auth = Default::default();
        backend: Backends = Default::default();
        proxy: Proxy = Default::default();
        net: Net = Default::default();
        timeout: Timeouts = Default::default();
        memsys: Memsys = Default::default();
        features: Features = Features::default();
        versioning: Versioning = Default::default();
        resilver: Resilver = Default::default();
    }
);

/// A partial update of the configuration.
pub type ConfigPatch = Patch<ClusterConfig>;

impl ClusterConfig {
    /// This configuration with `patch` made, checked as a whole.
    pub fn patched(&self, patch: &ConfigPatch) -> Result<Self, ClusterError> {
        let config = patch.assigned(self)?;
        config.validate()?;
        Ok(config)
    }

    /// Sets one value by dotted name; unchecked against the others.
    pub fn set_by_name(&mut self, key: &str, text: &str) -> Result<(), ClusterError> {
        assign(self, key, text)
    }

    /// The value under a dotted name; a section has none.
    pub fn value(&self, key: &str) -> Option<Scalar> {
        let key = key.to_ascii_lowercase();
        let mut found = None;
        self.walk("", &mut |name, value| {
            if name == key && value != Scalar::Section {
                found = Some(value);
            }
        });
        found
    }

    /// What must hold between values.
    pub fn validate(&self) -> Result<(), ClusterError> {
        self.mirror.validate()?;
        self.ec.validate()?;
        self.chunks.validate()?;
        self.rate_limit.validate()?;
        let (s, d) = (&self.space, &self.disk);
        let rising = |marks: &[i64]| marks.is_sorted() && marks.iter().all(|m| (1..=100).contains(m));
        expect(rising(&[s.cleanupwm, s.lowwm, s.highwm, s.out_of_space]), || {
            "space: expected 0 < cleanupwm <= lowwm <= highwm <= out_of_space <= 100".into()
        })?;
        let disk = [d.disk_util_low_wm, d.disk_util_high_wm, d.disk_util_max_wm];
        expect(rising(&disk) && disk.windows(2).all(|pair| pair[0] < pair[1]), || {
            "disk: expected 0 < disk_util_low_wm < disk_util_high_wm < disk_util_max_wm <= 100".into()
        })?;
        expect(!self.timeout.cplane_operation.is_zero() && !self.timeout.max_keepalive.is_zero(), || {
            "timeout: expected cplane_operation and max_keepalive above zero".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_name() {
        let mut c = ClusterConfig::default();
        let text = |c: &ClusterConfig, key: &str| c.value(key);
        for (key, value, shown) in [
            ("timeout.send_file_time", "10m", Scalar::Text("10m".into())),
            ("checksum.type", "md5", Scalar::Text("md5".into())),
            ("Net.HTTP.Idle_Conns", "7", Scalar::Int(7)),
            ("log.max_size", "1GiB", Scalar::Text("1GiB".into())),
            ("features", "S3-API-via-Root", Scalar::Text("8".into())),
            ("auth.required_claims.aud", "a,b", Scalar::List(vec!["a".into(), "b".into()])),
            ("backend.ais.alias", "http://h:1", Scalar::List(vec!["http://h:1".into()])),
        ] {
            c.set_by_name(key, value).unwrap();
            assert_eq!(text(&c, key), Some(shown), "{key}");
        }
        c.set_by_name("backend.aws", "").unwrap();
        c.set_by_name("backend.ais.alias", "").unwrap();
        assert_eq!(c.backend.providers, BTreeSet::from([Provider::Aws]));
        assert!(c.backend.clusters.is_empty());
        assert_eq!(text(&c, "net.http"), None);
        for (key, value) in
            [("nope", "1"), ("net", "1"), ("net.http.idle_conns", "x"), ("backend.none", "x"), ("", "")]
        {
            assert!(c.set_by_name(key, value).is_err(), "{key}");
        }
    }

    #[test]
    fn defaults_are_valid_and_patches_checked_whole() {
        let c = ClusterConfig::default();
        c.validate().unwrap();
        let patch = |pairs: &[(&str, &str)]| {
            ConfigPatch::new(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())), false)
                .and_then(|p| c.patched(&p))
        };
        assert_eq!(patch(&[("space.highwm", "91")]).unwrap().space.highwm, 91);
        for bad in [("space.highwm", "70"), ("disk.disk_util_low_wm", "80"), ("timeout.max_keepalive", "0s")]
        {
            assert!(patch(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn survives_postcard() {
        let mut c = ClusterConfig::default();
        c.set_by_name("backend.ais.alias", "http://h:1").unwrap();
        let bytes = postcard::to_stdvec(&c).unwrap();
        assert_eq!(postcard::from_bytes::<ClusterConfig>(&bytes).unwrap(), c);
    }
}
