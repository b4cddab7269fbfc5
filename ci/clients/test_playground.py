"""What a stranger does first, and what the process promises around it."""

import os
import re
import signal
import subprocess
import time

import pytest
from harness import data
from harness.node import Node, binary, free_port
from harness.wire import once


class Playground:
    def __init__(self, directory, *more):
        self.port, self.log = free_port(), directory / "out.txt"
        command = [binary(), "playground", "--dir", directory / "data", "--port", str(self.port), *more]
        begin = time.monotonic()
        self.process = subprocess.Popen(command, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        while True:
            try:
                if once(self.port, "GET", "/v1/health?prr=true").status == 200:
                    break
            except OSError:
                pass
            assert self.process.poll() is None and time.monotonic() - begin < 30, self.log.read_text()
            time.sleep(0.005)
        self.ready = time.monotonic() - begin

    def said(self, pattern):
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, self.log.read_text(), re.I | re.S)):
            assert time.monotonic() < deadline, f"{pattern!r} was not printed:\n{self.log.read_text()}"
            time.sleep(0.05)
        return found

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def test_playground_keeps_its_data(tmp_path):
    p = Playground(tmp_path)
    try:
        print(f"ready after {p.ready:.2f} s")
        p.said(rf"127\.0\.0\.1:{p.port}")
        p.said(r"cold.*?B/s.*warm.*?B/s")
        assert once(p.port, "PUT", "/kept").status == 200
        assert once(p.port, "PUT", "/kept/o", data.content("kept", 100_000)).status == 200
    finally:
        assert p.interrupt() == 0
    p = Playground(tmp_path)
    try:
        assert once(p.port, "GET", "/kept/o").body == data.content("kept", 100_000)
        assert b"uuid" in once(p.port, "GET", "/v1/daemon?what=smap").body
    finally:
        assert p.interrupt() == 0


def test_playground_with_an_origin(tmp_path, origin, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    origin.make("dataset", "one", 3 * data.MIB)
    p = Playground(tmp_path, "--origin", origin.url, "--mountpaths", "3")
    try:
        for _ in range(2):
            assert once(p.port, "GET", "/dataset/one").body == data.content("one", 3 * data.MIB)
    finally:
        assert p.interrupt() == 0


def test_a_second_process_is_refused(start):
    node = start("first")

    def refused(second):
        done = subprocess.run(second.command(), capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and done.stderr.strip(), done
        return done.stderr

    same_port = Node(node.base / "other")
    same_port.config.write_text(same_port.config.read_text().replace(f":{same_port.port}", f":{node.port}"))
    assert str(node.port) in refused(same_port)
    same_directory = Node(node.base / "third")
    same_directory.config.write_text(same_directory.config.read_text().replace(str(same_directory.state), str(node.state)))
    assert str(node.state) in refused(same_directory)
    same_mountpath = Node(node.base / "fourth")
    same_mountpath.config.write_text(
        same_mountpath.config.read_text().replace(str(same_mountpath.mountpaths[0]), str(node.mountpaths[0])))
    assert str(node.mountpaths[0]) in refused(same_mountpath)
    assert once(node.port, "GET", "/v1/health").status == 200


def test_a_foreign_disk_is_refused(start, tmp_path):
    """A mountpath that another node has used, and two of the own ones swapped for others."""
    one, other = start("one"), start("other")
    one.stop(), other.stop()
    config = one.config.read_text()
    one.config.write_text(config.replace(str(one.mountpaths[1]), str(other.mountpaths[1])))
    done = subprocess.run(one.command(), capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and str(other.mountpaths[1]) in done.stderr, done.stderr
    one.config.write_text(config)
    one.start()
    one.stop()


def test_metrics(node):
    once(node.port, "PUT", "/metered")
    for _ in range(3):
        once(node.port, "PUT", "/metered/o", b"12345")
        once(node.port, "GET", "/metered/o")
    answer = once(node.port, "GET", "/metrics")
    assert answer.status == 200 and answer.header("content-type", "").startswith(("text/plain", "application/openmetrics-text"))
    text = answer.body.decode()
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) > 10 and all(re.match(r"[a-zA-Z_:][\w:]*(\{.*\})? [-+.\deEInfNa]+$", line) for line in samples)
    assert "shard" in text


def test_client_commands(node, tmp_path):
    """`weir create/put/ls/get/head/rm/rmb` on the node, as a person types them."""
    body = data.content("command", 3 * data.MIB + 1)
    (tmp_path / "f").write_bytes(body)

    def weir(*words, status=0, text=True):
        done = subprocess.run([binary(), "--endpoint", node.url, *map(str, words)], capture_output=True, text=text,
                              env={**os.environ, "NO_COLOR": "1"})
        assert done.returncode == status, (words, done)
        return done.stdout

    weir("create", "ais://typed")
    weir("put", tmp_path / "f", "ais://typed/dir/o")
    assert "dir/o" in weir("ls", "ais://typed")
    assert weir("get", "ais://typed/dir/o", "-", text=False) == body
    assert weir("get", "ais://typed/dir/o", "-", "--range", "5-9", text=False) == body[5:10]
    assert str(len(body)) in weir("head", "ais://typed/dir/o", "--json")
    assert "typed" in weir("ls")
    weir("show", "cluster")
    weir("show", "bucket", "ais://typed")
    weir("rm", "ais://typed/dir/o")
    weir("get", "ais://typed/dir/o", "-", status=1)
    weir("rmb", "ais://typed")
    assert "typed" not in weir("ls")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    out = subprocess.run([binary(), "completion", shell], capture_output=True, text=True, check=True).stdout
    assert "playground" in out
