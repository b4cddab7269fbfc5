"""A disk at 50 ms an operation beside a healthy one: it slows its own requests and nothing else, and no shard waits for it."""

import contextlib
import os
import pathlib
import subprocess
import threading
import time

import pytest
from harness import data
from harness.node import Node, binary
from harness.wire import once

MIB = 1 << 20
DELAY_MS = 50


def faultdisk():
    return pathlib.Path(binary()).with_name("faultdisk")


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout.strip()


def wait_for(condition, seconds=20):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


class SlowDisk:
    """XFS on a loop device on the image that faultdisk serves."""

    def __init__(self, base):
        self.base, self.ctl = base, base / "ctl"
        self.served, self.mounted = base / "served", base / "mounted"
        for d in (self.served, self.mounted):
            d.mkdir()

    @contextlib.contextmanager
    def up(self):
        with contextlib.ExitStack() as undo:
            server = subprocess.Popen([faultdisk(), "serve", self.served, self.base / "image", str(512 * MIB),
                                       self.base / "log", "--ctl", self.ctl])
            undo.callback(server.wait)
            wait_for(lambda: (self.served / "disk").exists() and self.ctl.exists())
            undo.callback(run, "umount", self.served)
            run("mkfs.xfs", "-q", "-f", "-K", self.served / "disk")
            loop = run("losetup", "--find", "--show", "--direct-io=on", self.served / "disk")
            undo.callback(run, "losetup", "-d", loop)
            run("mount", loop, self.mounted)
            undo.callback(run, "umount", self.mounted)
            undo.callback(self.delay, 0)
            yield self

    def delay(self, ms):
        run(faultdisk(), "ctl", self.ctl, "delay", ms)


@pytest.fixture
def node(tmp_path):
    if os.geteuid() or not os.path.exists("/dev/fuse") or not faultdisk().exists():
        pytest.skip("needs root, /dev/fuse and the faultdisk binary")
    healthy = tmp_path / "healthy"
    healthy.mkdir()
    slow_base = tmp_path / "slow"
    slow_base.mkdir()
    with SlowDisk(slow_base).up() as slow:
        node = Node(tmp_path / "node", mountpath_dirs=[healthy, slow.mounted / "mp"], shards=1)
        node.start()
        try:
            yield node, slow
        finally:
            slow.delay(0)
            node.stop()


def metric(node, name):
    text = once(node.port, "GET", "/metrics").body.decode()
    values = [float(line.split()[1]) for line in text.splitlines() if line.startswith(name + "{")]
    assert values, f"{name} is there"
    return sum(values)


def test_no_shard_waits_for_a_slow_disk(node):
    node, slow = node
    assert once(node.port, "PUT", "/slow").status == 200
    sizes = [4096] * 60 + [100_000] * 20 + [2 * MIB] * 6
    for i, size in enumerate(sizes):
        assert once(node.port, "PUT", f"/slow/dir{i % 5}/o{i}", data.content(f"o{i}", size)).status == 200
    time.sleep(1)
    there = [(slow.mounted / "mp" / "@ais" / "slow" / "%ob" / f"dir{i % 5}" / f"o{i}").exists() for i in range(len(sizes))]
    assert 10 < sum(there) < len(sizes) - 10, "both disks hold objects"
    # Everything cold: pages, inodes, dentries.
    run("sync")
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    slow.delay(DELAY_MS)
    failures, healthy_done = [], [0]
    stop = threading.Event()

    def attempt(what, *arguments, **more):
        try:
            return what(*arguments, **more)
        except Exception as e:  # noqa: BLE001
            failures.append(repr(e))

    def read(i):
        answer = once(node.port, "GET", f"/slow/dir{i % 5}/o{i}", timeout=120)
        assert answer.status == 200 and answer.body == data.content(f"o{i}", sizes[i]), i

    def touch(i):
        path = f"/slow/dir{i % 5}/o{i}"
        assert once(node.port, "HEAD", path, timeout=120).status == 200
        assert once(node.port, "PUT", path, data.content(f"o{i}", sizes[i]), timeout=120).status == 200
        assert once(node.port, "GET", path, headers=[("Range", "bytes=5-9")], timeout=120).status == 206

    def healthy():
        mine = [i for i, slow_one in enumerate(there) if not slow_one]
        while not stop.is_set():
            for i in mine:
                attempt(read, i)
                healthy_done[0] += 1

    background = threading.Thread(target=healthy)
    background.start()
    on_slow = [i for i, slow_one in enumerate(there) if slow_one]
    threads = [threading.Thread(target=lambda part=part: [attempt(read, i) or attempt(touch, i) for i in on_slow[part::8]])
               for part in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    background.join()
    assert not failures, failures[:3]
    stalls, longest = metric(node, "weir_stalls_slept_total"), metric(node, "weir_stall_slept_longest_us")
    print(f"{len(on_slow)} objects on the slow disk, {healthy_done[0]} reads beside them, {stalls:.0f} stalls, longest {longest:.0f} us")
    # Another thread may keep a lock for milliseconds on a busy machine; an operation of the slow disk takes 50. What waited for
    # pages of the program itself, which a host without memory reads again from its own disk, is counted apart.
    assert longest < DELAY_MS * 1000, node.log()
