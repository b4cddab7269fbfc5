"""A node of the real binary, in a process of its own."""

import http.client
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
READY_SECONDS_MAX = 30
# Handed to nodes whose origin takes any key.
ORIGIN_KEYS = {"AWS_ACCESS_KEY_ID": "origin-key", "AWS_SECRET_ACCESS_KEY": "origin-secret", "AWS_REGION": "us-east-1"}


def binary():
    """Path of `weir`: WEIR_BIN, or the release build of this tree."""
    return os.environ.get("WEIR_BIN") or str(ROOT / "target" / "release" / "weir")


def free_port():
    """A port below those that the kernel gives to outgoing connections: a node that restarts must find it free again."""
    first_outgoing = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(first_outgoing, 10_001))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def toml(value):
    """A value as TOML; strings as literal-safe basic strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


class Node:
    """`weir serve` with its state, configuration and log below `base`; `start` waits until it is ready."""

    def __init__(self, base, mountpaths=2, shards=None, keys=(), tokens=False, origins=(), mountpath_dirs=(), **more):
        self.base = pathlib.Path(base)
        self.port = free_port()
        self.process = None
        self.state = self.base / "node"
        self.mountpaths = list(mountpath_dirs) or [self.base / f"mp{i + 1}" for i in range(mountpaths)]
        for d in (self.state, *self.mountpaths):
            d.mkdir(parents=True, exist_ok=True)
        self.log_path = self.base / "weir.log"
        self.config = self.base / "weir.toml"
        shards = int(os.environ.get("WEIR_SHARDS", "1")) if shards is None else shards
        self._write_config({"shards": shards, "pin": False, **more}, keys, tokens, origins)

    def _write_config(self, fields, keys, tokens, origins):
        fields = {"dir": self.state, "listen": f"127.0.0.1:{self.port}", "mountpaths": self.mountpaths, **fields}
        lines = [f"{k} = {toml(v)}" for k, v in fields.items()]
        if keys or tokens:
            lines += ["[auth]", f"tokens = {toml(tokens)}"]
            for id_, secret in keys:
                lines += ["[[auth.access_keys]]", f"id = {toml(id_)}", f"secret = {toml(secret)}"]
        for url in origins:
            lines += ["[[origins]]", 'provider = "s3"', f"endpoint = {toml(url)}", 'region = "us-east-1"']
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        return [binary(), "serve", "--config", str(self.config)]

    def start(self):
        """Starts and waits for readiness; returns the seconds from exec to the first 200."""
        with open(self.log_path, "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **ORIGIN_KEYS}
            )
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weir exited with {self.process.returncode}:\n{self.log()}")
            if self.answers():
                return time.monotonic() - begin
            if time.monotonic() - begin > READY_SECONDS_MAX:
                raise RuntimeError(f"weir is not ready after {READY_SECONDS_MAX} s:\n{self.log()}")
            time.sleep(0.005)

    def answers(self):
        """Whether the readiness route answers; a node with credentials may refuse it, and then is up as well."""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            c.request("GET", "/v1/health?prr=true")
            return c.getresponse().status in (200, 401, 403)
        except OSError:
            return False
        except http.client.HTTPException:
            return False

    def log(self, bytes_max=8000):
        return self.log_path.read_bytes()[-bytes_max:].decode(errors="replace") if self.log_path.exists() else ""

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM; the exit status. A node that does not end is killed and reported."""
        if self.process is None or self.process.poll() is not None:
            return self.process and self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise RuntimeError(f"weir did not stop within {seconds} s of SIGTERM:\n{self.log()}") from None

    def token(self, *arguments):
        """A bearer token from `weir token`."""
        command = [binary(), "token", "--dir", str(self.state), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def rss(self):
        """Resident bytes of the process."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        return 0

    def cpu_seconds(self):
        return cpu_seconds(self.pid)


def cpu_seconds(pid):
    """User and system time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
