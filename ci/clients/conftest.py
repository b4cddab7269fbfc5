"""Options and the servers that tests share."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness.cluster import Cluster  # noqa: E402
from harness.node import Node, binary  # noqa: E402
from harness.origin import Origin  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--s3", help="URL of another S3 server to run the S3 suites against")
    parser.addoption("--s3-keys", default="", help="ID:SECRET for --s3")
    parser.addoption("--ais", help="URL of another AIS gateway to run the SDK suite against")
    parser.addoption("--rounds", type=int, default=3, help="rounds of kill -9")
    parser.addoption("--scratch", help="directory for nodes' data (default: pytest's own)")


def pytest_collection_modifyitems(config, items):
    # `big` is run by name only: `-m big`, or a test named on the command line.
    if config.getoption("-m") or any("::" in a for a in config.args):
        return
    chosen = [i for i in items if "big" not in i.keywords]
    config.hook.pytest_deselected(items=[i for i in items if "big" in i.keywords])
    items[:] = chosen


@pytest.fixture(scope="session")
def scratch(request, tmp_path_factory):
    """A directory for a node."""
    chosen = request.config.getoption("--scratch")

    def make(name):
        if chosen:
            path = pathlib.Path(chosen) / f"{name}-{os.getpid()}"
            path.mkdir(parents=True, exist_ok=True)
            return path
        return tmp_path_factory.mktemp(name)

    return make


@pytest.fixture(scope="session")
def start(scratch):
    """Starts nodes and stops them at the end of the session."""
    if not os.access(binary(), os.X_OK):
        pytest.fail(f"{binary()} is not there: build it, or name it in WEIR_BIN")
    nodes = []

    def make(name="node", **options):
        node = Node(scratch(name), **options)
        nodes.append(node)
        node.start()
        return node

    yield make
    for node in nodes:
        if node.process and node.process.poll() is None:
            node.stop()


@pytest.fixture(scope="session")
def node(start):
    """One node without credentials and origin, shared by the suites that leave it usable."""
    return start("shared")


@pytest.fixture(scope="session")
def assemble(scratch):
    """Starts clusters and stops them at the end of the session."""
    clusters = []

    def make(name="cluster", **options):
        cluster = Cluster(scratch(name), **options)
        clusters.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(assemble):
    """A gateway and three targets without credentials, shared by the suites that leave it usable."""
    return assemble("shared-cluster")


@pytest.fixture(scope="session")
def origin():
    server = Origin()
    yield server
    server.stop()


class Other:
    """A server that is not ours to start or to look into."""

    def __init__(self, url):
        self.url, self.port = url, None


@pytest.fixture(scope="session", params=["node", "cluster"])
def ais(request):
    """Where the SDK suite goes: our node, then a gateway of a cluster; or the gateway of --ais."""
    other = request.config.getoption("--ais")
    if other and request.param != "node":
        pytest.skip("another server is one")
    return Other(other) if other else request.getfixturevalue(request.param)


@pytest.fixture
def wire_port(ais):
    """For what is sent byte for byte: one node only, since a gateway redirects."""
    if ais.port is None:
        pytest.skip("sent byte for byte to one node only")
    return ais.port


class S3:
    """Where the S3 suites go: our node at `/` or `/s3`, a target of a cluster, which owns a third of it, or the server of --s3."""

    def __init__(self, url, key, secret):
        self.url, self.key, self.secret = url, key, secret

    @property
    def environment(self):
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent/config",
                "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials"}


@pytest.fixture(scope="session", params=["/", "/s3", "cluster"])
def s3(request):
    other = request.config.getoption("--s3")
    if other:
        if request.param != "/":
            pytest.skip("another server has one root")
        key, _, secret = (request.config.getoption("--s3-keys") or "any:anything").partition(":")
        return S3(other, key, secret)
    if request.param == "cluster":
        return S3(request.getfixturevalue("cluster").targets[0].url, "any", "anything")
    url = request.getfixturevalue("node").url
    return S3(url + request.param.rstrip("/"), "any", "anything")
