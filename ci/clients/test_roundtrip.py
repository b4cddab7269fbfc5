"""Objects of 1 B to 5 GiB, stored by each API and read by both, and the memory that takes."""

import http.client
import socket
import threading
import time
from urllib.parse import quote

import pytest
from harness import data
from harness.wire import once

MIB, GIB = data.MIB, 1 << 30
APIS = {"ais": "/v1/objects/round/{}?provider=ais", "s3": "/s3/round/{}", "root": "/round/{}"}


@pytest.fixture(scope="module")
def bucket(node):
    assert once(node.port, "PUT", "/s3/round").status == 200
    return "round"


def put(port, target, seed, size):
    """PUT with the body made while it is sent."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    c.putrequest("PUT", target)
    c.putheader("Content-Length", str(size))
    c.endheaders()
    for at in range(0, size, 4 * MIB):
        c.send(data.content(seed, min(4 * MIB, size - at), at))
    answer = c.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)


def check(port, target, seed, size):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    c.request("GET", target)
    answer = c.getresponse()
    assert answer.status == 200 and int(answer.headers["Content-Length"]) == size
    assert data.same(answer, seed, size) is None


def round_trip(node, size):
    for writer, target in APIS.items():
        name = quote(f"{writer}-{size}")
        put(node.port, target.format(name), name, size)
        for reader in APIS.values():
            check(node.port, reader.format(name), name, size)
        assert once(node.port, "DELETE", target.format(name)).status in (200, 204)


@pytest.mark.parametrize("size", [1, 4096, MIB])
def test_round_trip(node, bucket, size):
    round_trip(node, size)


@pytest.mark.big
@pytest.mark.timeout(3600)
def test_round_trip_of_5_gib(node, bucket):
    round_trip(node, 5 * GIB)


def printed_bound(node, connections):
    """The memory bound that the node printed at its start, in bytes, with so many connections open."""
    import re

    for line in node.log_path.read_text(errors="replace").splitlines():
        _, found, parts = line.partition("memory bounds: ")
        if found:
            most, each = map(int, re.search(r"(\d+) connections of up to (\d+) KiB", parts).groups())
            return int(re.match(r"(\d+) MiB", parts).group(1)) * MIB + min(most, connections) * each * 1024
    raise AssertionError("the node did not print its memory bounds")


@pytest.mark.big
@pytest.mark.timeout(3600)
def test_memory_while_64_clients_move_1_gib_objects(node, bucket):
    """48 read and 16 write over 16 names; resident memory stays under the bound that the node prints."""
    for i in range(16):
        put(node.port, f"/round/mem{i}", f"mem{i}", GIB)
    errors, peak, running = [], [node.rss()], [True]

    def watch():
        while running[0]:
            peak[0] = max(peak[0], node.rss())
            time.sleep(0.05)

    def client(n):
        try:
            name = f"mem{n % 16}"
            if n < 48:
                drain(node.port, f"/round/{name}", GIB)
            else:
                put(node.port, f"/round/{name}", name, GIB)
        except Exception as e:  # noqa: BLE001
            errors.append(repr(e))

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    running[0] = False
    watcher.join()
    for i in range(16):
        check(node.port, f"/round/mem{i}", f"mem{i}", GIB)
    bound = printed_bound(node, len(threads))
    print(f"peak resident memory {peak[0] >> 20} MiB, printed bound {bound >> 20} MiB")
    assert not errors
    assert peak[0] <= bound


def drain(port, target, size):
    """Reads and counts a body without looking at it."""
    with socket.create_connection(("127.0.0.1", port), timeout=300) as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        buffer, total = memoryview(bytearray(MIB)), 0
        while n := s.recv_into(buffer):
            total += n
        assert total > size, f"{total} bytes of {size}"


@pytest.mark.big
@pytest.mark.timeout(3600)
def test_1000_parts_of_8_mib_complete(node, bucket):
    """Prints the time: on XFS parts share their extents, elsewhere they are copied."""
    import re
    import subprocess

    upload = re.search(rb"<UploadId>(.*?)</UploadId>", once(node.port, "POST", "/round/parts?uploads", b"").body)[1].decode()
    tags = []
    for n in range(1, 1001):
        answer = once(node.port, "PUT", f"/round/parts?partNumber={n}&uploadId={upload}", data.content(f"p{n % 8}", 8 * MIB))
        tags.append(answer.header("etag"))
    xml = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{t}</ETag></Part>" for n, t in enumerate(tags, 1))
    begin = time.monotonic()
    done = once(node.port, "POST", f"/round/parts?uploadId={upload}",
                f"<CompleteMultipartUpload>{xml}</CompleteMultipartUpload>".encode(), timeout=600)
    seconds = time.monotonic() - begin
    assert done.status == 200 and b"<Error>" not in done.body
    fs = subprocess.run(["stat", "-f", "-c", "%T", node.mountpaths[0]], capture_output=True, text=True).stdout.strip()
    print(f"1,000 parts of 8 MiB completed in {seconds:.3f} s on {fs}")
    for n in (1, 2, 500, 1000):
        at = (n - 1) * 8 * MIB
        part = once(node.port, "GET", "/round/parts", headers=[("Range", f"bytes={at}-{at + 8 * MIB - 1}")])
        assert part.status == 206 and part.body == data.content(f"p{n % 8}", 8 * MIB)
    once(node.port, "DELETE", "/round/parts")
