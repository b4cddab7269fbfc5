"""Cold reads from an origin of fixed speed: one stream however many readers, first bytes as they come, exact counts.

The short run uses smaller figures; `-m big` uses the full ones. Ratios are of one run: a direct read first, then ours.
"""

import os
import re
import socket
import subprocess
import threading
import time

import pytest
from harness import data
from harness.wire import Closed, once

MIB = data.MIB


@pytest.fixture(scope="module")
def cold(start, origin):
    origin.make("cold")
    return start("cold", origins=[origin.url]), origin


@pytest.fixture(autouse=True)
def unlimited_again(origin):
    yield
    origin.set(conn=0, total=0, delay_ms=0, cut_after=-1, stall_after=-1, promise=0, fail=0)


class Read:
    """One GET: when its first and last body byte came, how many there were, and where they were wrong."""

    def __init__(self, port, target, seed=None, size=None, at_first=None):
        begin = time.monotonic()
        self.first = self.last = None
        self.bytes, self.wrong = 0, None
        with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                more = s.recv(65536)
                assert more, head
                head += more
            head, body = head.split(b"\r\n\r\n", 1)
            self.status = int(head.split(b" ")[1])
            while body or (body := s.recv(MIB)):
                if self.first is None:
                    self.first = time.monotonic() - begin
                    if at_first is not None:
                        at_first()
                if seed is not None and self.wrong is None and body != data.content(seed, len(body), self.bytes):
                    self.wrong = self.bytes
                self.bytes += len(body)
                body = b""
        self.last = time.monotonic() - begin
        assert self.status == 200, head
        assert self.wrong is None, f"wrong bytes from {self.wrong}"
        assert size is None or self.bytes == size, f"{self.bytes} of {size} bytes"


def together(calls):
    results, errors = [None] * len(calls), []

    def run(i):
        try:
            results[i] = calls[i]()
        except BaseException as e:  # noqa: BLE001
            errors.append(repr(e))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[:3]
    return results


def many_readers(cold, name, size, readers):
    node, origin = cold
    origin.make("cold", name, size)
    origin.make("cold", name + "-direct", size)
    origin.set(conn=25e6)
    direct = Read(origin.port, f"/cold/{name}-direct", size=size)
    origin.reset()
    cpu = node.cpu_seconds(), origin.cpu_seconds()
    # Every eighth reader looks at its bytes, the others count them: the machine is the readers' too.
    reads = together([lambda i=i: Read(node.port, f"/s3/cold/{name}", name if i % 8 == 0 else None, size)
                      for i in range(readers)])
    counts = origin.counts()
    first, last = max(r.first for r in reads), max(r.last for r in reads)
    print(f"{readers} readers of a cold {size >> 20} MiB: origin GETs {counts['gets']}, first byte {first / direct.first:.2f}x, "
          f"last {last / direct.last:.2f}x of a direct read ({direct.last:.2f} s); "
          f"CPU weir {node.cpu_seconds() - cpu[0]:.2f} s, origin {origin.cpu_seconds() - cpu[1]:.2f} s")
    assert counts["gets"] == {f"cold/{name}": 1}
    assert counts["bytes"] == size
    origin.reset()
    Read(node.port, f"/s3/cold/{name}", name, size)
    assert origin.counts()["gets"] == {}, "a warm read asks nobody"


def test_20_readers_of_one_cold_object(cold):
    many_readers(cold, "twenty", 32 * MIB, 20)


@pytest.mark.big
@pytest.mark.timeout(900)
def test_100_readers_of_one_cold_256_mib_object(cold):
    many_readers(cold, "hundred", 256 * MIB, 100)


def test_the_first_byte_comes_before_the_last(cold):
    node, origin = cold
    origin.make("cold", "early", 20 * MIB)
    origin.set(conn=10e6)
    origin.reset()
    sent = []
    Read(node.port, "/s3/cold/early", "early", 20 * MIB, at_first=lambda: sent.append(origin.counts()["bytes"]))
    assert sent[0] < 20 * MIB, "the whole object was fetched first"


def many_objects(cold, prefix, count, connections):
    node, origin = cold
    for i in range(count):
        origin.make("cold", f"{prefix}/{i}", MIB)
    origin.set(delay_ms=20, total=200e6)

    def sweep(port, path, check):
        def worker(part):
            for i in range(part, count, connections):
                answer = once(port, "GET", f"{path}/{prefix}/{i}")
                assert answer.status == 200
                assert not check or answer.body == data.content(f"{prefix}/{i}", MIB)

        begin = time.monotonic()
        together([lambda p=p: worker(p) for p in range(connections)])
        return time.monotonic() - begin

    direct = sweep(origin.port, "/cold", False)
    origin.reset()
    cpu = node.cpu_seconds(), origin.cpu_seconds()
    ours = sweep(node.port, "/s3/cold", False)
    counts = origin.counts()
    print(f"{count} x 1 MiB at {connections} connections: direct {count / direct:.0f} MiB/s, through weir {count / ours:.0f} MiB/s "
          f"({direct / ours:.2f}x), origin GETs {counts['get_total']}; CPU weir {node.cpu_seconds() - cpu[0]:.2f} s, "
          f"origin {origin.cpu_seconds() - cpu[1]:.2f} s")
    assert counts["get_total"] == count and set(counts["gets"].values()) == {1}
    origin.reset()
    sweep(node.port, "/s3/cold", True)
    assert origin.counts()["gets"] == {}


def test_each_of_150_cold_objects_is_read_once(cold):
    many_objects(cold, "some", 150, 16)


@pytest.mark.big
@pytest.mark.timeout(900)
def test_1500_cold_objects_at_16_connections(cold):
    many_objects(cold, "all", 1500, 16)


def test_a_range_of_a_cold_object_comes_at_once(cold):
    node, origin = cold
    origin.make("cold", "ranged", 64 * MIB)
    origin.set(conn=20e6)
    origin.reset()
    part = once(node.port, "GET", "/s3/cold/ranged", headers=[("Range", f"bytes={60 * MIB}-{60 * MIB + 99}")])
    sent = origin.counts()["bytes"]
    assert (part.status, part.body) == (206, data.content("ranged", 100, 60 * MIB))
    assert part.header("content-range") == f"bytes {60 * MIB}-{60 * MIB + 99}/{64 * MIB}"
    assert sent < 60 * MIB, f"{sent} bytes: all before the range was fetched first"


def test_a_stream_that_breaks_gives_no_wrong_byte_and_keeps_nothing(cold):
    node, origin = cold
    origin.make("cold", "breaks", 8 * MIB)
    origin.set(cut_after=5 * MIB)
    try:
        got = once(node.port, "GET", "/s3/cold/breaks")
        assert got.status >= 500
    except Exception:  # noqa: BLE001  a connection cut off is an answer too
        pass
    origin.set(cut_after=-1)
    Read(node.port, "/s3/cold/breaks", "breaks", 8 * MIB)


def test_a_remote_bucket_stands_under_its_own_name(cold):
    node, origin = cold
    origin.make("cold", "listed/a&b", 7)
    body = once(node.port, "GET", "/s3/cold?list-type=2&prefix=listed/").body.decode()
    assert re.findall(r"<Key>(.*?)</Key>", body) == ["listed/a&amp;b"] and "<Size>7</Size>" in body
    head = once(node.port, "HEAD", "/s3/cold/listed/a%26b")
    assert head.status == 200 and head.header("content-length") == "7"
    assert head.header("etag") == f'"{data.md5(data.content("listed/a&b", 7))}"'
    assert once(node.port, "GET", "/s3/cold/none").status == 404


def test_an_empty_object_and_odd_names(cold):
    node, origin = cold
    for name, path in (("empty", "empty"), ("ü/ñ %", "%C3%BC/%C3%B1%20%25"), ("a//b", "a//b"), ("t/", "t/")):
        size = 0 if name == "empty" else 50
        origin.make("cold", name, size)
        for _ in range(2):
            assert once(node.port, "GET", f"/s3/cold/{path}").body == data.content(name, size)


def lose(port, target):
    """A GET that may be cut off; its status, and its bytes if it came whole."""
    try:
        answer = once(port, "GET", target)
        return answer.status, answer.body
    except (OSError, Closed):
        return None, None


def test_an_origin_that_fails_is_told_and_nothing_is_kept(cold):
    """Each fault: never a whole wrong body, nothing kept; when it has passed, the object is read whole."""
    node, origin = cold
    size = 3 * MIB
    for name, fault, clear in (
        ("refused", {"fail": 500}, {"fail": 0}),
        ("denied", {"fail": 403}, {"fail": 0}),
        ("promised", {"promise": 1000, "cut_after": size - 1}, {"promise": 0, "cut_after": -1}),
        ("cut", {"cut_after": 100_000}, {"cut_after": -1}),
        ("cut-at-0", {"cut_after": 0}, {"cut_after": -1}),
    ):
        origin.make("cold", name, size)
        origin.set(**fault)
        status, body = lose(node.port, f"/s3/cold/{name}")
        assert status != 200 or body is None, (name, status, len(body))
        origin.set(**clear)
        for dialect in (f"/s3/cold/{name}", f"/v1/objects/cold/{name}?provider=aws"):
            assert once(node.port, "GET", dialect).body == data.content(name, size), name


def test_a_stream_that_stalls_is_taken_up_again(cold):
    node, origin = cold
    origin.make("cold", "stalls", 4 * MIB)
    origin.set(stall_after=MIB)
    reader = threading.Timer(1.0, lambda: origin.set(stall_after=-1))
    reader.start()
    Read(node.port, "/s3/cold/stalls", "stalls", 4 * MIB)
    reader.join()


def test_an_object_that_changes_between_two_pieces(cold):
    """The rest of another version is no rest: the reader is cut off, and the next one gets the new version."""
    node, origin = cold
    origin.make("cold", "changes", 4 * MIB, seed="old")
    origin.set(stall_after=MIB)
    got = []
    reader = threading.Thread(target=lambda: got.append(lose(node.port, "/s3/cold/changes")))
    reader.start()
    wait_for(lambda: origin.counts()["gets"].get("cold/changes"))
    origin.make("cold", "changes", 4 * MIB, seed="new")
    origin.set(stall_after=-1)
    reader.join()
    assert got == [(None, None)], got
    Read(node.port, "/s3/cold/changes", "new", 4 * MIB)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_first_reader_goes_away(cold):
    """Its stream is not its own: the second reader gets all of it, and the origin was asked once."""
    node, origin = cold
    origin.make("cold", "left", 8 * MIB)
    origin.set(conn=8e6)
    origin.reset()
    first = socket.create_connection(("127.0.0.1", node.port))
    first.sendall(b"GET /s3/cold/left HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert first.recv(100).startswith(b"HTTP/1.1 200")
    first.close()
    Read(node.port, "/s3/cold/left", "left", 8 * MIB)
    assert origin.counts()["gets"] == {"cold/left": 1}


def test_evicted_objects_come_again(cold):
    node, origin = cold
    origin.make("cold", "evicted", MIB, seed="one")
    Read(node.port, "/s3/cold/evicted", "one", MIB)
    origin.make("cold", "evicted", 2 * MIB, seed="two")
    Read(node.port, "/s3/cold/evicted", "one", MIB)
    message = b'{"action":"evict-listrange","name":"cold/evicted"}'
    assert once(node.port, "DELETE", "/v1/objects/cold/evicted?provider=aws", message).status == 200
    assert once(node.port, "HEAD", "/v1/objects/cold/evicted?provider=aws&presence=2").status == 404
    Read(node.port, "/v1/objects/cold/evicted?provider=aws", "two", 2 * MIB)


def test_heads_and_absent_objects_in_both_dialects(cold):
    node, origin = cold
    origin.make("cold", "headed", 12345)
    ais = "/v1/objects/cold/headed?provider=aws"
    for _ in range(2):
        answer = once(node.port, "HEAD", ais)
        assert (answer.status, answer.header("content-length")) == (200, "12345")
        assert answer.header("ais-present") == "false"
    assert once(node.port, "HEAD", ais + "&presence=2").status == 404, "asked for in the cluster only"
    assert once(node.port, "GET", ais).body == data.content("headed", 12345)
    assert once(node.port, "HEAD", ais).header("ais-present") == "true"
    assert once(node.port, "HEAD", ais + "&presence=2").status == 200
    for target in ("/s3/cold/nowhere", "/v1/objects/cold/nowhere?provider=aws", "/s3/no-such-bucket/o",
                   "/v1/objects/no-such-bucket/o?provider=aws"):
        for method in ("GET", "HEAD"):
            assert once(node.port, method, target).status == 404, (method, target)
        assert once(node.port, "GET", target, headers=[("Range", "bytes=0-1")]).status == 404, target


@pytest.mark.parametrize("first", ["/s3/{}/o", "/v1/objects/{}/o?provider=aws"])
def test_a_bucket_is_known_when_it_is_first_named(cold, first):
    node, origin = cold
    bucket = f"first{len(first)}"
    origin.make(bucket, "o", 1000)
    for target in (first, "/s3/{}/o", "/v1/objects/{}/o?provider=aws"):
        assert once(node.port, "GET", target.format(bucket)).body == data.content("o", 1000)
    assert f"<Name>{bucket}</Name>" in once(node.port, "GET", "/s3").body.decode()


def test_a_full_disk_serves_without_keeping(start, origin, tmp_path):
    """A mountpath of 16 MiB and an object of 24: read whole, twice, and asked for twice."""
    mountpath = tmp_path / "small"
    mountpath.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mountpath]).returncode:
        pytest.skip("needs root to mount a small file system")
    try:
        origin.make("big", "o", 24 * MIB)
        origin.make("big", "p", 9 * MIB)
        origin.make("big", "q", 9 * MIB)
        node = start("full", mountpaths=1, origins=[origin.url], mountpath_dirs=[mountpath])
        for _ in range(2):
            Read(node.port, "/s3/big/o", "o", 24 * MIB)
        # Both begin with room for either: one of them runs out of it on the way.
        origin.set(conn=20e6)
        together([lambda name=name: Read(node.port, f"/s3/big/{name}", name, 9 * MIB) for name in "pq"])
        origin.set(conn=0)
        for name in "pq":
            Read(node.port, f"/s3/big/{name}", name, 9 * MIB)
        assert origin.counts()["gets"]["big/o"] >= 2
        assert node.stop() == 0
    finally:
        subprocess.run(["umount", "-l", mountpath])


def test_a_bucket_with_an_endpoint_of_its_own(start, origin):
    """Only where the configuration allows it."""
    origin.make("elsewhere", "o", 1000)
    properties = f'{{"action":"create-bck","value":{{"extra":{{"aws":{{"endpoint":"{origin.url}","cloud_region":"eu-west-7"}}}}}}}}'
    for allowed in (True, False):
        node = start("endpoints", bucket_endpoints=allowed)
        made = once(node.port, "POST", "/v1/buckets/elsewhere?provider=aws", properties.encode())
        got = once(node.port, "GET", "/v1/objects/elsewhere/o?provider=aws")
        if allowed:
            assert (made.status, got.status, got.body) == (200, 200, data.content("o", 1000)), (made, got)
        else:
            assert made.status >= 400 and got.status >= 400
