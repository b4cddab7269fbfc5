"""kill -9 under load, restart, and look at every object; `--rounds 50` for the long run."""

import random
import threading
import time

import pytest
from harness import data
from harness.oracle import ABSENT, Oracle
from harness.wire import Closed, Wire, once

CLIENTS = 6
NAMES = 60
# A round in which fewer operations were acknowledged before the kill says nothing.
ACKED_MIN = 30


def target(client, name):
    """Even clients speak S3, odd ones AIS: one bucket, both views."""
    return f"/kill/{name}" if client % 2 == 0 else f"/v1/objects/kill/{name}?provider=ais"


def load(port, client, oracle, stop, seed, errors):
    rng = random.Random(f"{seed}-{client}")
    with Wire(port, timeout=30) as wire:
        version = seed * 1_000_000
        while not stop.is_set():
            name = f"c{client}/n{rng.randrange(NAMES)}"
            version += 1
            delete = oracle.acked.get(name) is not ABSENT and rng.random() < 0.15
            size = rng.choice([0, 1, 100, 4096, 40_000, 70_000, 300_000, 1_500_000])
            state = ABSENT if delete else (version, size)
            oracle.begin(name, state)
            try:
                if delete:
                    answer = wire.request("DELETE", target(client, name))
                elif size == 1_500_000 and client % 2 == 0:
                    answer = multipart(wire, target(client, name), f"{name}-{version}", size)
                else:
                    answer = wire.request("PUT", target(client, name), data.content(f"{name}-{version}", size))
            except (OSError, Closed):
                return
            if answer.status not in (200, 204):
                errors.append((name, answer))
                return
            oracle.ack(name, state)


def multipart(wire, path, seed, size):
    """Two parts, the first of 5 MiB would be slow here: one part is the last one, and may be small."""
    upload = wire.request("POST", f"{path}?uploads", b"").body.split(b"<UploadId>")[1].split(b"<")[0].decode()
    tag = wire.request("PUT", f"{path}?partNumber=1&uploadId={upload}", data.content(seed, size)).header("etag")
    done = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
            "</CompleteMultipartUpload>").encode()
    return wire.request("POST", f"{path}?uploadId={upload}", done)


def verify(port, oracle):
    """Every name holds something allowed, and the listing says the same as the reads."""
    found = {}
    with Wire(port) as wire:
        for name in oracle.names():
            answer = wire.request("GET", f"/kill/{name}")
            assert answer.status in (200, 404), (name, answer)
            whole = [s for s in oracle.allowed(name) if s is not ABSENT
                     and answer.body == data.content(f"{name}-{s[0]}", s[1])]
            if answer.status == 404:
                assert ABSENT in oracle.allowed(name), f"lost: {name}, allowed {oracle.allowed(name)}"
                oracle.settle(name, ABSENT)
            else:
                assert whole, f"torn or stale: {name}, {len(answer.body)} bytes, allowed {oracle.allowed(name)}"
                oracle.settle(name, whole[-1])
                found[name] = len(answer.body)
        assert listed(wire) == found


def listed(wire):
    import html
    import re

    out, token = {}, ""
    while True:
        body = wire.request("GET", f"/kill?list-type=2{token}").body.decode()
        for key, size in re.findall(r"<Contents>.*?<Key>(.*?)</Key>.*?<Size>(\d+)</Size>.*?</Contents>", body, re.S):
            out[html.unescape(key)] = int(size)
        more = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", body)
        if not more:
            return out
        from urllib.parse import quote

        token = "&continuation-token=" + quote(html.unescape(more[1]), safe="")


@pytest.mark.timeout(3600)
def test_kill_9_under_load(start, request):
    node = start("kill9")
    assert once(node.port, "PUT", "/kill").status == 200
    oracle, slowest, rounds = Oracle(), 0.0, request.config.getoption("--rounds")
    rng = random.Random(9)
    for n in range(rounds):
        stop, before, errors = threading.Event(), oracle.count, []
        threads = [threading.Thread(target=load, args=(node.port, c, oracle, stop, n, errors)) for c in range(CLIENTS)]
        for t in threads:
            t.start()
        deadline = time.monotonic() + 20
        while oracle.count - before < ACKED_MIN and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.7)
        node.kill9()
        stop.set()
        for t in threads:
            t.join()
        assert not errors, errors[:3]
        assert oracle.count - before >= ACKED_MIN, "too little load before the kill: the round is void"
        slowest = max(slowest, node.start())
        verify(node.port, oracle)
    print(f"{rounds} rounds, {oracle.count} acknowledged, slowest start {slowest:.2f} s")


@pytest.mark.timeout(300)
def test_sigterm_drains(start):
    """What is under way when SIGTERM comes is answered; the process ends by itself with status 0."""
    node = start("sigterm")
    assert once(node.port, "PUT", "/drain").status == 200
    with Wire(node.port) as wire:
        body = data.content("drain", 100_000)
        wire.send(b"PUT /drain/o HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + body[:50_000])
        node.process.terminate()
        wire.send(body[50_000:])
        assert wire.read().status == 200
    # Not `stop`: a second signal means at once.
    assert node.process.wait(30) == 0
    node.start()
    assert once(node.port, "GET", "/drain/o").body == body


@pytest.mark.big
@pytest.mark.timeout(3600)
def test_start_with_100000_objects(start):
    node = start("hundred", mountpaths=4)
    assert once(node.port, "PUT", "/kill").status == 200

    def fill(part):
        with Wire(node.port) as wire:
            for i in range(part, 100_000, 8):
                assert wire.request("PUT", f"/kill/d{i % 100}/o{i}", b"%d" % i).status == 200

    begin = time.monotonic()
    threads = [threading.Thread(target=fill, args=(p,)) for p in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    filled = time.monotonic() - begin
    node.kill9()
    seconds = node.start()
    for i in (0, 1, 50_000, 99_999):
        assert once(node.port, "GET", f"/kill/d{i % 100}/o{i}").body == b"%d" % i
    with Wire(node.port) as wire:
        begin = time.monotonic()
        assert len(listed(wire)) == 100_000
        listing = time.monotonic() - begin
    print(f"100,000 objects stored in {filled:.0f} s; start {seconds:.2f} s; all listed in {listing:.2f} s")
