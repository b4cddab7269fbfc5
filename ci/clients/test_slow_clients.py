"""1,000 idle connections and 200 that send their head a byte at a time, beside a normal load whose errors stay 0."""

import resource
import selectors
import socket
import threading
import time

from harness import data
from harness.wire import Wire, once

IDLE, SLOW = 1000, 200
SECONDS = 20
# The node closes a head that takes longer than this (weir-types: HEAD_SECONDS_MAX), give or take a timer.
HEAD_SECONDS_MAX = 10
LATE = 5


def load(port, until, done, errors, worker):
    with Wire(port, timeout=30) as wire:
        n = 0
        while time.monotonic() < until:
            n += 1
            body = data.content(f"slow-{worker}-{n % 10}", 20_000)
            try:
                put = wire.request("PUT", f"/slow/{worker}-{n % 10}", body)
                got = wire.request("GET", f"/slow/{worker}-{n % 10}")
                if put.status != 200 or got.status != 200 or got.body != body:
                    errors.append((put, got))
            except Exception as e:  # noqa: BLE001
                errors.append(repr(e))
                wire.close()
        done.append(n)


def test_idle_and_slow_heads_beside_a_load(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    node = start("slow")
    assert once(node.port, "PUT", "/slow").status == 200
    address = ("127.0.0.1", node.port)
    idle = [socket.create_connection(address) for _ in range(IDLE)]
    slow = [socket.create_connection(address) for _ in range(SLOW)]
    begin = time.monotonic()
    until, done, errors = begin + SECONDS, [], []
    threads = [threading.Thread(target=load, args=(node.port, until, done, errors, w)) for w in range(4)]
    for t in threads:
        t.start()
    closed_after = drip(slow, until)
    for t in threads:
        t.join()
    print(f"{sum(done)} pairs of requests beside {IDLE} idle and {SLOW} slow connections; "
          f"slow ones closed after {min(closed_after, default=0):.1f} to {max(closed_after, default=0):.1f} s")
    assert not errors, errors[:3]
    assert sum(done) >= 100, "too little load: the run is void"
    assert len(closed_after) == SLOW, f"{SLOW - len(closed_after)} slow heads were never closed"
    assert max(closed_after) <= HEAD_SECONDS_MAX + LATE
    # An idle connection is still good.
    idle[-1].sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert idle[-1].recv(100).startswith(b"HTTP/1.1 200")
    for s in idle:
        s.close()


def drip(connections, until):
    """Sends one byte of a head to each every second; the seconds after which each was closed by the server."""
    begin, closed = time.monotonic(), []
    head = b"GET /slow/0-0 HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 1000
    poll = selectors.DefaultSelector()
    for s in connections:
        s.setblocking(False)
        poll.register(s, selectors.EVENT_READ, [0])
    while time.monotonic() < until and poll.get_map():
        for key in list(poll.get_map().values()):
            try:
                key.fileobj.send(head[key.data[0] : key.data[0] + 1])
                key.data[0] += 1
            except BlockingIOError:
                pass
            except OSError:
                finish(poll, key, closed, begin)
        again = time.monotonic() + 1
        while (left := again - time.monotonic()) > 0 and poll.get_map():
            for key, _ in poll.select(left):
                try:
                    if not key.fileobj.recv(4096):
                        finish(poll, key, closed, begin)
                except BlockingIOError:
                    pass
                except OSError:
                    finish(poll, key, closed, begin)
    return closed


def finish(poll, key, closed, begin):
    poll.unregister(key.fileobj)
    key.fileobj.close()
    closed.append(time.monotonic() - begin)
