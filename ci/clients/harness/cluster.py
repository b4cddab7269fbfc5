"""A cluster of the real binary: a process for each node."""

import json
import time

from .node import READY_SECONDS_MAX, Node, free_port
from .wire import once


class Member(Node):
    """One node of a cluster."""

    def __init__(self, base, role, seeds, secret, ports, **more):
        self.role = role
        super().__init__(base, role=role, seeds=seeds, join_secret=secret, intra_control=f"127.0.0.1:{ports[0]}",
                         intra_data=f"127.0.0.1:{ports[1]}", **more)
        if role == "gateway":
            text = self.config.read_text()
            self.config.write_text("".join(line for line in text.splitlines(True) if not line.startswith("mountpaths")))

    def launch(self):
        """Starts without waiting: nodes wait for each other."""
        answers, self.answers = self.answers, lambda: True
        try:
            self.start()
        finally:
            self.answers = answers


class Cluster:
    """Gateways, then targets. `url` is a gateway's; `port` is none: what is sent byte for byte would have to follow redirects."""

    port = None

    def __init__(self, base, gateways=1, targets=3, token_key=None, **more):
        base.mkdir(parents=True, exist_ok=True)
        secret = base / "secret"
        secret.write_text("the secret of a test's cluster\n")
        control = [free_port() for _ in range(gateways + targets)]
        seeds = [f"127.0.0.1:{port}" for port in control[:gateways]]
        self.nodes = []
        for i, port in enumerate(control):
            role = "gateway" if i < gateways else "target"
            self.nodes.append(Member(base / f"n{i}", role, seeds, secret, (port, free_port()), **more))
            if token_key:
                key = self.nodes[-1].state / "token.key"
                key.write_text(token_key)
                key.chmod(0o600)
        self.gateways, self.targets = self.nodes[:gateways], self.nodes[gateways:]

    @property
    def url(self):
        return self.gateways[0].url

    def start(self):
        for node in self.nodes:
            node.launch()
        self.wait()

    def wait(self):
        """Until every node is ready and knows all others; a cluster with credentials is asked with a token."""
        headers = []
        if "[auth]" in self.nodes[0].config.read_text():
            headers = [("Authorization", f"Bearer {self.nodes[0].token()}")]
        deadline = time.monotonic() + READY_SECONDS_MAX
        for node in self.nodes:
            while not self._knows_all(node, headers):
                if node.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{node.url} is not ready:\n{node.log()}")
                time.sleep(0.01)

    def _knows_all(self, node, headers):
        try:
            ready = once(node.port, "GET", "/v1/health?prr=true", headers=headers, timeout=2)
            answer = once(node.port, "GET", "/v1/daemon?what=smap", headers=headers, timeout=2)
        except OSError:
            return False
        if (ready.status, answer.status) != (200, 200):
            return False
        smap = json.loads(answer.body)
        return (len(smap["pmap"]), len(smap["tmap"])) == (len(self.gateways), len(self.targets))

    def stop(self):
        for node in self.nodes:
            node.stop()
