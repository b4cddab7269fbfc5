"""A cluster with credentials: AIS's clients are redirected and S3's are not; whichever node is asked, the same is answered."""

import base64
import io
import tarfile
import zlib

import pytest
from harness import data
from harness.wire import Wire, once
from test_auth import KEY, SECRET, Chunked
from test_auth import client as s3_client

pytest.importorskip("boto3")
pytest.importorskip("aistore")
from aistore.sdk.errors import AISError, ErrObjNotFound  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from test_aistore import client as ais_client  # noqa: E402


@pytest.fixture(scope="module")
def guarded(assemble):
    return assemble("guarded-cluster", keys=[(KEY, SECRET)], tokens=True, token_key="known to every node of it")


@pytest.fixture(scope="module")
def c(guarded):
    c = s3_client(guarded.targets[0], KEY, SECRET)
    c.create_bucket(Bucket="locked")
    return c


def test_s3_through_every_node(c, guarded):
    body = data.content("relayed", 6 * data.MIB + 3)
    for i, through in enumerate(guarded.nodes):
        other = s3_client(through, KEY, SECRET)
        other.put_object(Bucket="locked", Key=f"ü/a b+{i}", Body=body, Metadata={"k": "v"})
        other.upload_fileobj(data.Reader("parts", 17 * data.MIB), "locked", f"parts{i}")
        for node in guarded.nodes:
            got = s3_client(node, KEY, SECRET).get_object(Bucket="locked", Key=f"ü/a b+{i}")
            assert got["Metadata"] == {"k": "v"} and got["Body"].read() == body
    assert len(c.list_objects_v2(Bucket="locked", Prefix="ü/")["Contents"]) == len(guarded.nodes)
    for node in guarded.nodes:
        with pytest.raises(ClientError):
            s3_client(node, KEY, SECRET + "x").get_object(Bucket="locked", Key="parts0")


def test_chunk_signatures_are_checked_where_the_request_comes_in(c, guarded):
    chunks = [data.content(f"chunk{i}", 70_000) for i in range(3)] + [b"the last one"]
    crc = base64.b64encode(zlib.crc32(b"".join(chunks)).to_bytes(4, "big")).decode()
    for node in guarded.nodes:
        assert Chunked(node).put("/locked/chunked", chunks).status == 200
        assert c.get_object(Bucket="locked", Key="chunked")["Body"].read() == b"".join(chunks)
        for spoil in range(len(chunks)):
            assert Chunked(node).put("/locked/spoiled", chunks, spoil=spoil).status in (400, 403)
        assert Chunked(node).put("/locked/trailed", chunks, trailer=("x-amz-checksum-crc32", crc)).status == 200
        assert Chunked(node).put("/locked/spoiled", chunks, trailer=("x-amz-checksum-crc32", "AAAAAA==")).status == 400
        with pytest.raises(ClientError):
            c.head_object(Bucket="locked", Key="spoiled")


def test_the_sdk_is_redirected_with_its_rights(c, guarded):
    token, reading = guarded.nodes[0].token(), guarded.nodes[0].token("--read-only")
    bucket, readers = (ais_client(guarded, token=t).bucket("locked") for t in (token, reading))
    body = data.content("redirected", 3 * data.MIB + 1)
    for i in range(12):
        o = bucket.object(f"sdk/{i}")
        o.get_writer().put_content(body)
        assert readers.object(f"sdk/{i}").get_reader().read_all() == body
        assert readers.object(f"sdk/{i}").get_reader(byte_range="bytes=5-9").read_all() == body[5:10]
        with pytest.raises(AISError):
            readers.object(f"sdk/{i}").get_writer().put_content(b"x")
        with pytest.raises(AISError):
            readers.object(f"sdk/{i}").delete()
    assert len(bucket.list_all_objects(prefix="sdk/", page_size=5)) == 12
    bucket.object("sdk/0").delete()
    with pytest.raises(ErrObjNotFound):
        bucket.object("sdk/0").get_reader().read_all()


def test_a_redirect_is_good_for_itself_only(c, guarded):
    c.put_object(Bucket="locked", Key="o", Body=b"secret content")
    target = "/v1/objects/locked/o?provider=ais"
    sent = once(guarded.gateways[0].port, "GET", target, headers=[("Authorization", f"Bearer {guarded.nodes[0].token()}")])
    assert sent.status == 301
    port, _, path = sent.header("location").removeprefix("http://127.0.0.1:").partition("/")
    assert once(int(port), "GET", "/" + path).body == b"secret content"
    for method, wrong in [("DELETE", path), ("PUT", path), ("GET", path.replace("/o?", "/p?")), ("GET", path[:-4] + "AAAA"),
                          ("GET", path.rsplit("&", 1)[0]), ("GET", path + "&x=1")]:
        assert once(int(port), method, "/" + wrong, b"" if method == "PUT" else None).status in (401, 403), (method, wrong)
    for node in guarded.targets:
        if node.port != int(port):
            assert once(node.port, "GET", "/" + path).status in (401, 403)


def test_a_client_that_knows_the_owner_asks_it(cluster):
    """`direct=True`: the SDK places the name itself and reads past the gateway."""
    bucket = ais_client(cluster).bucket("direct")
    bucket.create(exist_ok=True)
    for i in range(20):
        body = data.content(f"direct{i}", 10_000)
        bucket.object(f"o{i}").get_writer().put_content(body)
        assert bucket.object(f"o{i}").get_reader(direct=True).read_all() == body
    bucket.delete()


def test_logs_of_the_nodes(cluster):
    """Every target's log through the gateway, as text and as an archive."""
    nodes = ais_client(cluster).cluster()
    logs = nodes.get_cluster_logs()
    assert set(logs) == set(nodes.get_info().tmap) and all("at 2" in text for text in logs.values())
    for node in logs:
        with tarfile.open(fileobj=io.BytesIO(nodes.get_node_log_archive(node)), mode="r:gz") as archive:
            assert archive.extractfile("weir.INFO").read().startswith((b"Started up", b"Rotated"))


def test_listing_of_12000_names_over_pages(cluster):
    """Every name once, in order, in pages of both APIs, through a gateway and through a target."""
    bucket = ais_client(cluster).bucket("many-names")
    bucket.create(exist_ok=True)
    names = sorted(f"d{i % 7}/n{i:05}" for i in range(12_000))
    for worker in range(4):
        with Wire(cluster.targets[worker % 3].port) as wire:
            for name in names[worker::4]:
                assert wire.request("PUT", f"/s3/many-names/{name}", b"x").status == 200
    assert [e.name for e in bucket.list_all_objects(page_size=1000)] == names
    assert [e.name for e in bucket.list_all_objects(prefix="d3/")] == [n for n in names if n.startswith("d3/")]
    for node in (cluster.gateways[0], cluster.targets[1]):
        pages = s3_client(node, "any", "anything").get_paginator("list_objects_v2").paginate(Bucket="many-names", PaginationConfig={"PageSize": 999})
        assert [o["Key"] for page in pages for o in page["Contents"]] == names
    bucket.delete()


def test_a_bucket_in_the_host_passes_through(assemble):
    cluster = assemble("virtual-hosts", targets=2, s3_domain="s3.local")
    assert once(cluster.gateways[0].port, "PUT", "/s3/in-the-host").status == 200
    for i in range(8):
        for node in cluster.nodes:
            with Wire(node.port) as wire:
                head = f"/dir%20x/o{i} HTTP/1.1\r\nHost: in-the-host.s3.local:{node.port}\r\n"
                wire.send(f"PUT {head}Content-Length: 5\r\n\r\nhello".encode())
                assert wire.read().status == 200
                wire.send(f"GET {head}\r\n".encode())
                assert wire.read().body == b"hello"
            assert once(node.port, "GET", f"/s3/in-the-host/dir%20x/o{i}").body == b"hello"
