"""Names that try to be paths, headers or commands, at every place where a name enters by either API.

Each is stored and returned exactly, or refused with a 4xx. The kernel is asked which files the node opened meanwhile.
"""

import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import pytest
from harness import names
from harness.watch import Opens
from harness.wire import Closed, Wire, once

CANARY = b"canary-5c1e77f0"
NAMES = names.hostile()


def test_there_are_enough():
    assert len(NAMES) >= 500, len(NAMES)


class Speaker:
    """Sends requests and keeps count; a refusal that closes the connection is followed by a new one."""

    def __init__(self, port):
        self.wire, self.sent = Wire(port, timeout=20), 0

    def __call__(self, method, target, body=None, headers=()):
        self.sent += 1
        target = target if isinstance(target, bytes) else target.encode("latin-1")
        try:
            answer = self.wire.request(method, target, body, headers)
        except (Closed, ConnectionError):
            # Kept alive and closed between two requests, or refused so early that only a fresh one tells.
            self.wire.close()
            answer = self.wire.request(method, target, body, headers)
        assert 200 <= answer.status < 500 or answer.status == 501, (method, target, answer)
        assert CANARY not in answer.body and b"root:x:0" not in answer.body, (method, target, answer)
        assert answer.header("x-injected") is None, (method, target, answer)
        return answer


@pytest.fixture(scope="module")
def hostile(start):
    node = start("hostile")
    for place in (node.base, node.state, *node.mountpaths):
        (place / "canary.txt").write_bytes(CANARY)
    for b in ("kill", "two"):
        assert once(node.port, "PUT", f"/s3/{b}").status == 200
    return node


def outside(node):
    """Everything below the node's directory that is not a mountpath or its own state, with content."""
    own = {node.state, *node.mountpaths, node.log_path}
    files = {}
    for root, dirs, entries in os.walk(node.base):
        dirs[:] = [d for d in dirs if pathlib.Path(root) / d not in own]
        for e in entries:
            path = pathlib.Path(root) / e
            if path not in own:
                files[str(path)] = path.read_bytes()
    return files


def canaries(node):
    return [(place / "canary.txt").read_bytes() for place in (node.base, node.state, *node.mountpaths)]


def s3_listing(say, bucket):
    """Names by the S3 API, asked for percent-encoded so that every byte comes through XML."""
    found, token = [], ""
    while True:
        body = say("GET", f"/{bucket}?list-type=2&encoding-type=url{token}").body.decode()
        found += [unquote_to_bytes(html.unescape(k).replace("+", "%20")) for k in re.findall(r"<Key>(.*?)</Key>", body, re.S)]
        more = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", body, re.S)
        if not more:
            return found
        token = "&continuation-token=" + quote(html.unescape(more[1]), safe="")


def store_and_return(say, prefix, suffix, bucket):
    """PUTs all, then finds exactly those that were accepted: by GET, HEAD and the listing."""
    accepted = {}
    for n in NAMES:
        raw = names.as_bytes(n)
        answer = say("PUT", prefix + raw + suffix, b"content of " + raw)
        if answer.status == 200:
            true_name = unquote_to_bytes(raw)
            assert true_name not in accepted or unquote_to_bytes(accepted[true_name]) == true_name
            accepted[true_name] = raw
    for true_name, raw in accepted.items():
        got = say("GET", prefix + raw + suffix)
        assert got.status == 200 and got.body == b"content of " + raw, (raw, got)
        assert say("HEAD", prefix + raw + suffix).status == 200, raw
    listed = s3_listing(say, bucket)
    assert sorted(listed) == sorted(accepted), (set(listed) ^ set(accepted))
    assert listed == sorted(listed), "a listing is in the byte order of whole names"
    return accepted


def remove(say, prefix, suffix, accepted, bucket):
    for raw in accepted.values():
        assert say("DELETE", prefix + raw + suffix).status in (200, 204), raw
    assert s3_listing(say, bucket) == []


def object_names(node):
    say = Speaker(node.port)
    for prefix, suffix in ((b"/kill/", b""), (b"/s3/kill/", b""), (b"/v1/objects/kill/", b"?provider=ais")):
        accepted = store_and_return(say, prefix, suffix, "kill")
        assert len(accepted) >= 300, f"only {len(accepted)} of {len(NAMES)} names were taken by {prefix}"
        remove(say, prefix, suffix, accepted, "kill")
    return say.sent


def other_entries_s3(node):
    say = Speaker(node.port)
    say("PUT", "/kill/kept", b"o")
    for n in NAMES:
        raw = names.as_bytes(n).decode("latin-1")
        q = quote(raw, safe="%")
        say("PUT", "/two/copied", b"", [("x-amz-copy-source", f"/kill/{raw}")])
        say("PUT", "/two/copied", b"", [("x-amz-copy-source", raw)])
        say("PUT", f"/{raw}") if "/" not in raw.strip("/") else None
        say("GET", f"/{raw}?list-type=2")
        say("HEAD", f"/s3/{raw}")
        for field in ("prefix", "start-after", "delimiter", "continuation-token", "encoding-type", "max-keys"):
            say("GET", f"/kill?list-type=2&{field}={q}")
        for field in ("marker", "prefix", "key-marker", "upload-id-marker"):
            say("GET", f"/kill?{'uploads&' if 'key' in field or 'upload' in field else ''}{field}={q}")
        for method, body in (("PUT", b"x"), ("POST", b"<CompleteMultipartUpload></CompleteMultipartUpload>"), ("GET", None),
                             ("DELETE", None)):
            say(method, f"/kill/kept?partNumber=1&uploadId={q}", body)
        started = say("POST", f"/two/{raw}?uploads", b"")
        if started.status == 200 and (upload := re.search(rb"<UploadId>(.*?)</UploadId>", started.body)):
            say("PUT", f"/two/{raw}?partNumber=1&uploadId={upload[1].decode()}", b"part")
            say("DELETE", f"/two/{raw}?uploadId={upload[1].decode()}")
        key = html.escape(unquote_to_bytes(raw).decode("utf-8", "replace"))
        say("POST", "/two?delete", f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode())
    assert once(node.port, "GET", "/kill/kept").body == b"o"
    return say.sent


def other_entries_ais(node):
    say = Speaker(node.port)
    say("PUT", "/v1/objects/kill/kept?provider=ais", b"o")
    for n in NAMES:
        raw = names.as_bytes(n).decode("latin-1")
        q, text = quote(raw, safe="%"), unquote_to_bytes(raw).decode("utf-8", "replace")
        say("PUT", "/v1/objects/kill/from?provider=ais", b"moving")
        say("POST", "/v1/objects/kill/from?provider=ais", json.dumps({"action": "rename-obj", "name": text}).encode())
        say("PUT", f"/v1/objects/kill/kept?provider=ais&object_to=ais/@%23/two/{q}", b"")
        say("PUT", f"/v1/objects/kill/kept?provider=ais&object_to={q}", b"")
        for field in ("provider", "namespace", "uuid", "uploadId", "append_handle", "archpath", "etl_name"):
            say("GET", f"/v1/objects/kill/kept?{field}={q}")
        for query in (f"provider=ais&uploadId={q}&partNumber=1", f"provider={q}", f"provider=ais&namespace={q}",
                      f"provider=ais&append_type=append&append_handle={q}"):
            say("PUT", f"/v1/objects/two/part?{query}", b"x")
        say("DELETE", f"/v1/objects/kill/none?provider=ais&uploadId={q}", b'{"action":"mpt-abort"}')
        say("PATCH", f"/v1/objects/kill/{raw}?provider=ais", b'{"action":"","value":{"k":"v"}}')
        for message in ({"prefix": text}, {"start_after": text}, {"continuation_token": text, "uuid": text}, {"props": text}):
            body = json.dumps({"action": "list", "value": message}).encode()
            say("GET", "/v1/buckets/kill?provider=ais", body, [("Accept", "application/msgpack")])
        say("POST", f"/v1/buckets/{raw}?provider=ais", b'{"action":"create-bck"}')
        say("HEAD", f"/v1/buckets/{raw}?provider=ais")
        say("DELETE", f"/v1/buckets/{raw}?provider=ais", b'{"action":"destroy-bck"}') if text not in ("kill", "two") else None
        say("GET", f"/v1/daemon?what={q}")
        for short in ("ais", "gs", "az"):
            say("GET", f"/{short}/kill/{raw}")
    assert once(node.port, "GET", "/kill/kept").body == b"o"
    return say.sent


def allowed_roots(node):
    return [str(node.state), *map(str, node.mountpaths), str(node.log_path), "/proc/", "/sys/"]


def strangers(paths, node):
    return sorted(p for p in paths if not any(p == r or p.startswith(r.rstrip("/") + "/") for r in allowed_roots(node))
                  and not p.startswith(("/anon_inode", "anon_inode", "socket:", "/memfd")))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", [object_names, other_entries_s3, other_entries_ais], ids=lambda p: p.__name__)
def test_hostile_names(hostile, part):
    before = outside(hostile)
    try:
        with Opens(hostile.pid, [hostile.mountpaths[0], "/"]) as opens:
            sent = part(hostile)
        assert not opens.overflow
        print(f"{sent} requests, {len(opens.paths)} different files opened")
        assert strangers(opens.paths, hostile) == []
    except PermissionError:
        print("skipped: the watch on opened files needs root and fanotify; the rest is checked")
        part(hostile)
    assert outside(hostile) == before, "files appeared or changed beside the mountpaths"
    assert canaries(hostile) == [CANARY] * len(canaries(hostile))


CALLS = "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,symlinkat,chdir"


@pytest.mark.big
@pytest.mark.root
@pytest.mark.timeout(3600)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_strace_sees_no_name_outside_the_mountpaths(hostile, tmp_path):
    """Calls that carry a path: absolute ones stay below our directories, relative ones have no `..` component."""
    trace = tmp_path / "trace"
    strace = subprocess.Popen(["strace", "-f", "-q", "-y", "-s", "5000", "-e", f"trace={CALLS}", "-o", trace, "-p", str(hostile.pid)])
    try:
        threading.Event().wait(1)
        assert strace.poll() is None, "strace could not attach"
        sent = sum(part(hostile) for part in (object_names, other_entries_s3, other_entries_ais))
    finally:
        strace.terminate()
        strace.wait()
    calls, bad = 0, []
    for line in trace.read_text(errors="replace").splitlines():
        if "(" not in line or line.split()[1].startswith(("+++", "---", "<...")):
            continue
        calls += 1
        for path in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
            if path.startswith("/"):
                bad += [line] if strangers([path], hostile) else []
            elif ".." in path.split("/"):
                bad.append(line)
    print(f"{sent} requests, {calls} calls with a path seen by strace")
    assert not bad, bad[:5]
