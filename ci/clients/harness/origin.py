"""An S3 server of a chosen speed, for what stands behind a node: it counts what it serves and can fail on purpose.

Runs as a process (`Origin`), so that its CPU is measured apart. Objects are made by `/_/make` from a seed, or stored by PUT.
`/_/set` takes `conn` and `total` (bytes/s, 0 = no limit), `delay_ms` (before the first byte of a body), `cut_after`
(bytes of each body after which the connection breaks, -1 = never), `stall_after` (bytes after which it stands still),
`promise` (bytes announced beyond those that come) and `fail` (status of every GET of an object, 0 = none).
`/_/counts` tells, and `/_/reset` forgets, the counts.
"""

import argparse
import asyncio
import hashlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse
from xml.sax.saxutils import escape

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import data  # noqa: E402
from harness.node import cpu_seconds  # noqa: E402
from harness.wire import once  # noqa: E402

CHUNK = 128 << 10
DATE = "Tue, 04 Mar 2025 05:06:07 GMT"
DATE_ISO = "2025-03-04T05:06:07.000Z"


class Object:
    """Bytes in memory, or a seed that makes them."""

    def __init__(self, size, seed=None, body=None, version=None):
        self.size, self.seed, self.body, self.version = size, seed, body, version
        digest = hashlib.md5()
        for at in range(0, size, data.MIB):
            digest.update(self.bytes(at, min(data.MIB, size - at)))
        self.etag = digest.hexdigest()

    def bytes(self, at, n):
        return self.body[at : at + n] if self.seed is None else data.content(self.seed, n, at)


class State:
    def __init__(self):
        self.buckets, self.gets, self.lists, self.heads, self.sent = {}, {}, 0, 0, 0
        self.conn = self.total = self.delay_ms = 0
        self.cut_after = self.stall_after = -1
        self.promise = self.fail = 0
        self.free_at = 0.0

    def counts(self):
        return {"gets": self.gets, "get_total": sum(self.gets.values()), "lists": self.lists, "heads": self.heads,
                "bytes": self.sent}


class Reply(Exception):
    def __init__(self, status, code="", body=None, headers=()):
        super().__init__(code)
        self.status, self.headers = status, list(headers)
        if body is None and code:
            body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
        self.body = (body or "").encode()


async def serve_connection(state, reader, writer):
    try:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if not await answer(state, writer, method, target, headers, body):
                return
            if headers.get("connection", "").lower() == "close":
                return
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def answer(state, writer, method, target, headers, body):
    path, _, query = target.partition("?")
    params = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    try:
        if path.startswith("/_/"):
            raise control(state, path[3:], params)
        bucket, _, key = path[1:].partition("/")
        bucket, key = urllib.parse.unquote(bucket), urllib.parse.unquote(key)
        if method in ("GET", "HEAD") and key:
            return await serve_object(state, writer, method, bucket, key, headers)
        raise bucket_or_put(state, method, bucket, key, params, headers, body)
    except Reply as r:
        head = [f"HTTP/1.1 {r.status} -", f"Content-Length: {len(r.body)}", "Content-Type: application/xml", *r.headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else r.body))
        await writer.drain()
        return True


def control(state, what, params):
    if what == "make":
        names = state.buckets.setdefault(params["bucket"], {})
        if "name" in params:
            made = Object(int(params["size"]), seed=params.get("seed", params["name"]), version=params.get("version"))
            names[params["name"]] = made
    elif what == "set":
        for k, v in params.items():
            setattr(state, k, type(getattr(state, k))(float(v)))
    elif what == "reset":
        state.gets, state.lists, state.heads, state.sent = {}, 0, 0, 0
    return Reply(200, body=json.dumps(state.counts()))


def bucket_or_put(state, method, bucket, key, params, headers, body):
    if not bucket:
        names = "".join(f"<Bucket><Name>{b}</Name><CreationDate>{DATE_ISO}</CreationDate></Bucket>"
                        for b in sorted(state.buckets))
        return Reply(200, body="<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets>"
                               f"{names}</Buckets></ListAllMyBucketsResult>")
    if method == "PUT" and not key:
        state.buckets.setdefault(bucket, {})
        return Reply(200)
    if bucket not in state.buckets:
        return Reply(404, "NoSuchBucket")
    if method == "PUT":
        made = state.buckets[bucket][key] = Object(len(body), body=body)
        return Reply(200, headers=[f'ETag: "{made.etag}"'])
    if method == "DELETE":
        state.buckets[bucket].pop(key, None)
        return Reply(204)
    if "location" in params:
        return Reply(200, body="<LocationConstraint/>")
    if "versioning" in params:
        return Reply(200, body="<VersioningConfiguration/>")
    if method == "HEAD":
        return Reply(200, headers=["x-amz-bucket-region: us-east-1"])
    if method == "GET":
        state.lists += 1
        return Reply(200, body=listing(state.buckets[bucket], bucket, params))
    return Reply(405, "MethodNotAllowed")


def listing(names, bucket, params):
    prefix, delimiter = params.get("prefix", ""), params.get("delimiter", "")
    limit = min(int(params.get("max-keys", 1000)), 1000)
    after = max(params.get("continuation-token", ""), params.get("start-after", ""), params.get("marker", ""))
    show = (lambda s: urllib.parse.quote(s)) if params.get("encoding-type") == "url" else escape
    entries, prefixes, last, more = [], [], "", False
    for key in sorted((k for k in names if k.startswith(prefix)), key=lambda k: k.encode()):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if cut < 0 else key[: cut + len(delimiter)]
        if item <= after or (cut >= 0 and prefixes and prefixes[-1] == item) or item == last:
            continue
        if len(entries) + len(prefixes) == limit:
            more = True
            break
        last = item
        if cut >= 0:
            prefixes.append(item)
            continue
        o = names[key]
        entries.append(f"<Contents><Key>{show(key)}</Key><LastModified>{DATE_ISO}</LastModified><ETag>&quot;{o.etag}&quot;"
                       f"</ETag><Size>{o.size}</Size><StorageClass>STANDARD</StorageClass></Contents>")
    out = [f"<Name>{bucket}</Name><Prefix>{show(prefix)}</Prefix><MaxKeys>{limit}</MaxKeys>"
           f"<KeyCount>{len(entries) + len(prefixes)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"]
    if more:
        tag = "NextContinuationToken" if params.get("list-type") == "2" else "NextMarker"
        out.append(f"<{tag}>{show(last) if tag == 'NextMarker' else escape(last)}</{tag}>")
    if params.get("encoding-type") == "url":
        out.append("<EncodingType>url</EncodingType>")
    out += entries + [f"<CommonPrefixes><Prefix>{show(p)}</Prefix></CommonPrefixes>" for p in prefixes]
    return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            + "".join(out) + "</ListBucketResult>")


def byte_range(text, size):
    """Start and end of a single range; None where the header is to be ignored."""
    if not text or not text.startswith("bytes=") or "," in text:
        return None
    first, _, last = text[6:].partition("-")
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else Reply(416, "InvalidRange")
    if int(first) >= size:
        return Reply(416, "InvalidRange", headers=[f"Content-Range: bytes */{size}"])
    return int(first), min(size, int(last) + 1 if last else size)


async def serve_object(state, writer, method, bucket, key, headers):
    names = state.buckets.get(bucket)
    if names is None:
        raise Reply(404, "NoSuchBucket")
    o = names.get(key)
    if o is None:
        raise Reply(404, "NoSuchKey")
    tags = [f'ETag: "{o.etag}"', f"Last-Modified: {DATE}", "Accept-Ranges: bytes", "Content-Type: binary/octet-stream"]
    if o.version:
        tags.append(f"x-amz-version-id: {o.version}")
    if headers.get("if-match", f'"{o.etag}"').strip('"') not in (o.etag, "*"):
        raise Reply(412, "PreconditionFailed")
    part = byte_range(headers.get("range"), o.size)
    if isinstance(part, Reply):
        raise part
    start, end = part or (0, o.size)
    status = 206 if part else 200
    if part:
        tags.append(f"Content-Range: bytes {start}-{end - 1}/{o.size}")
    if state.fail and method == "GET":
        raise Reply(state.fail, "InternalError")
    length = end - start + (state.promise if method == "GET" else 0)
    head = "\r\n".join([f"HTTP/1.1 {status} -", f"Content-Length: {length}", *tags]).encode() + b"\r\n\r\n"
    if method == "HEAD":
        state.heads += 1
        writer.write(head)
        await writer.drain()
        return True
    name = f"{bucket}/{key}"
    state.gets[name] = state.gets.get(name, 0) + 1
    if state.delay_ms:
        await asyncio.sleep(state.delay_ms / 1000)
    writer.write(head)
    return await send_body(state, writer, o, start, end)


async def send_body(state, writer, o, start, end):
    """Sends within both limits; False when the connection is to break."""
    begin, at = time.monotonic(), start
    while at < end:
        n = min(CHUNK, end - at)
        if 0 <= state.cut_after < at + n - start:
            writer.write(o.bytes(at, state.cut_after - (at - start)))
            await writer.drain()
            writer.transport.abort()
            return False
        if 0 <= state.stall_after < at + n - start:
            writer.write(o.bytes(at, state.stall_after - (at - start)))
            await writer.drain()
            while state.stall_after >= 0:
                await asyncio.sleep(0.1)
            writer.transport.abort()
            return False
        now = time.monotonic()
        wait = 0.0
        if state.total:
            state.free_at = max(state.free_at, now) + n / state.total
            wait = state.free_at - now
        if state.conn:
            wait = max(wait, begin + (at + n - start) / state.conn - now)
        if wait > 0:
            await asyncio.sleep(wait)
        writer.write(o.bytes(at, n))
        await writer.drain()
        at += n
        state.sent += n
    return state.promise == 0


class Origin:
    """The server as a process."""

    def __init__(self, **limits):
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.set(**limits)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, what, **params):
        target = f"/_/{what}?" + urllib.parse.urlencode(params)
        return json.loads(once(self.port, "POST", target).body)

    def make(self, bucket, name=None, size=0, **more):
        self.ask("make", bucket=bucket, **({"name": name, "size": size} if name else {}), **more)

    def set(self, **limits):
        self.ask("set", **limits)

    def counts(self):
        return self.ask("counts")

    def reset(self):
        self.ask("reset")

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def stop(self):
        self.process.kill()
        self.process.wait()


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    state = State()
    server = await asyncio.start_server(
        lambda r, w: serve_connection(state, r, w), "127.0.0.1", arguments.parse_args().port, limit=1 << 20, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
