"""A node with access keys: every route of the listener needs a credential, and only the right one is taken."""

import datetime
import hashlib
import hmac
import subprocess
import urllib.error
import urllib.request

import pytest
from harness import data
from harness.node import Node, binary
from harness.wire import Wire, once

boto3 = pytest.importorskip("boto3")
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

KEY, SECRET = "AKIDWEIRTEST", "a secret/that+is=long enough"


@pytest.fixture(scope="module")
def guarded(start):
    return start("guarded", keys=[(KEY, SECRET), ("SECONDKEY", "another-secret-key")])


def client(node, key, secret):
    config = Config(signature_version="s3v4", retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=node.url, aws_access_key_id=key, aws_secret_access_key=secret,
                        region_name="us-east-1", config=config)


@pytest.fixture(scope="module")
def c(guarded):
    c = client(guarded, KEY, SECRET)
    c.create_bucket(Bucket="locked")
    c.put_object(Bucket="locked", Key="o", Body=b"secret content")
    return c


def code(caught):
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def test_the_right_key_is_taken(c, guarded):
    body = data.content("auth", 6 * data.MIB)
    c.put_object(Bucket="locked", Key="ü/a b+c", Body=body, Metadata={"k": "two  blanks"})
    assert c.get_object(Bucket="locked", Key="ü/a b+c")["Body"].read() == body
    c.upload_fileobj(data.Reader("parts", 17 * data.MIB), "locked", "parts")
    assert c.get_object(Bucket="locked", Key="parts")["ContentLength"] == 17 * data.MIB
    assert len(c.list_objects_v2(Bucket="locked", Prefix="ü/", Delimiter="/")["Contents"]) == 1
    assert client(guarded, "SECONDKEY", "another-secret-key").get_object(Bucket="locked", Key="o")["Body"].read()


@pytest.mark.parametrize("key,secret,expected", [(KEY, SECRET + "x", "SignatureDoesNotMatch"),
                                                 ("NOBODY", SECRET, "InvalidAccessKeyId")])
def test_the_wrong_key_is_not(c, guarded, key, secret, expected):
    other = client(guarded, key, secret)
    for call in (lambda: other.list_buckets(), lambda: other.get_object(Bucket="locked", Key="o"),
                 lambda: other.put_object(Bucket="locked", Key="new", Body=b"x"),
                 lambda: other.delete_object(Bucket="locked", Key="o"), lambda: other.create_bucket(Bucket="new-one"),
                 lambda: other.create_multipart_upload(Bucket="locked", Key="m")):
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == (403, expected)
    assert c.get_object(Bucket="locked", Key="o")["Body"].read() == b"secret content"
    with pytest.raises(ClientError):
        c.head_object(Bucket="locked", Key="new")


ROUTES = [(m, t) for m in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS") for t in (
    "/", "/locked", "/locked/o", "/locked?list-type=2", "/locked?uploads", "/locked?delete", "/locked/o?uploads",
    "/locked/o?uploadId=x", "/s3", "/s3/", "/s3/locked", "/s3/locked/o", "/v1/buckets", "/v1/buckets/locked?provider=ais",
    "/v1/objects/locked/o?provider=ais", "/v1/objects/locked", "/v1/daemon?what=smap", "/v1/daemon?what=config",
    "/v1/daemon?what=bmd", "/v1/daemon?what=stats", "/v1/cluster?what=status", "/v1/cluster", "/v1/health", "/v1/health?prr=true",
    "/v1/reverse/daemon", "/v1/etl", "/v1/download", "/v1/sort", "/v1/ml/moss", "/v1/tokens", "/ais/locked/o", "/ais/locked",
    "/gs/locked/o", "/az/locked/o", "/metrics", "/v1/metasync", "/v1/txn", "/v1/vote", "/v1/nothing", "/v2/objects")]


def test_no_route_answers_without_a_credential(c, guarded):
    """Each path with each method, alone and with credentials that prove nothing."""
    forged = [(), [("Authorization", "Bearer x.y.z")], [("Authorization", "AWS4-HMAC-SHA256 x")],
              [("Authorization", f"AWS {KEY}:c2lnbmF0dXJl")], [("Authorization", "Basic YTpi")]]
    for method, target in ROUTES:
        for headers in forged:
            answer = once(guarded.port, method, target, b"" if method in ("PUT", "POST", "PATCH") else None, headers)
            assert answer.status in (400, 401, 403, 405, 501), (method, target, headers, answer)
            assert b"secret content" not in answer.body
            if answer.status not in (401, 403):
                # A route or header that is refused before the gate must be refused in the same way to everybody.
                assert headers or method in ("PATCH", "OPTIONS", "POST"), (method, target, headers, answer)
    assert c.get_object(Bucket="locked", Key="o")["Body"].read() == b"secret content"


def test_bearer_tokens(c, guarded):
    token = guarded.token()
    target = "/v1/objects/locked/o?provider=ais"
    bearer = [("Authorization", f"Bearer {token}")]
    assert once(guarded.port, "GET", target, headers=bearer).body == b"secret content"
    assert once(guarded.port, "GET", "/v1/health?prr=true", headers=bearer).status == 200
    head, body, signature = token.split(".")
    broken = [f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.", f"{head}.{body}", "eyJhbGciOiJub25lIn0." + body + ".",
              token + "x", ""]
    for bad in broken:
        assert once(guarded.port, "GET", target, headers=[("Authorization", f"Bearer {bad}")]).status in (401, 403), bad


def test_a_read_only_token(c, guarded):
    bearer = [("Authorization", f"Bearer {guarded.token('--read-only')}")]
    target = "/v1/objects/locked/o?provider=ais"
    assert once(guarded.port, "GET", target, headers=bearer).status == 200
    assert once(guarded.port, "PUT", target, b"changed", headers=bearer).status in (401, 403)
    assert once(guarded.port, "DELETE", target, headers=bearer).status in (401, 403)
    assert c.get_object(Bucket="locked", Key="o")["Body"].read() == b"secret content"


def test_presigned(c, guarded):
    good = c.generate_presigned_url("get_object", {"Bucket": "locked", "Key": "o"}, ExpiresIn=60)
    with urllib.request.urlopen(good) as answer:
        assert answer.read() == b"secret content"
    other_key = c.generate_presigned_url("get_object", {"Bucket": "locked", "Key": "other"}, ExpiresIn=60)
    put = c.generate_presigned_url("put_object", {"Bucket": "locked", "Key": "o"}, ExpiresIn=60)
    signature = good.rsplit("=", 1)[1]
    for bad in (good.replace("Expires=60", "Expires=6000"), good[:-4] + "0000", other_key.replace("/other?", "/o?"),
                put, good.replace(KEY, "SECONDKEY"), good.replace("X-Amz-Signature=" + signature, ""),
                good.replace("Expires=60", "Expires=604801"), good.replace("X-Amz-Date=2", "X-Amz-Date=1")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(bad)
        assert caught.value.code in (400, 403), bad
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(good, method="DELETE"))


class Chunked:
    """Signs a body in chunks as the S3 clients of Java, Go and C++ do (sigv4-streaming)."""

    def __init__(self, node, key=KEY, secret=SECRET, at=None):
        self.node, self.key = node, key
        self.stamp = (at or datetime.datetime.now(datetime.timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.stamp[:8]}/us-east-1/s3/aws4_request"
        self.secret = ("AWS4" + secret).encode()
        for word in (self.stamp[:8], "us-east-1", "s3", "aws4_request"):
            self.secret = hmac.new(self.secret, word.encode(), hashlib.sha256).digest()

    def sign(self, text):
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def put(self, path, chunks, spoil=None, trailer=None):
        """PUT of `chunks`; `spoil` is the index of a chunk whose bytes are changed after it was signed."""
        total = sum(map(len, chunks))
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
        headers = {"host": f"127.0.0.1:{self.node.port}", "x-amz-content-sha256": kind, "x-amz-date": self.stamp,
                   "x-amz-decoded-content-length": str(total), "content-encoding": "aws-chunked"}
        if trailer:
            headers["x-amz-trailer"] = trailer[0]
        names = ";".join(sorted(headers))
        request = "\n".join(["PUT", path, "", *(f"{k}:{headers[k]}" for k in sorted(headers)), "", names, kind])
        digest = hashlib.sha256(request.encode()).hexdigest()
        seed = last = self.sign("\n".join(["AWS4-HMAC-SHA256", self.stamp, self.scope, digest]))
        empty, body = hashlib.sha256(b"").hexdigest(), []
        for i, chunk in enumerate([*chunks, b""]):
            last = self.sign("\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.stamp, self.scope, last, empty,
                                        hashlib.sha256(chunk).hexdigest()]))
            sent = chunk[:-1] + bytes([chunk[-1] ^ 1]) if spoil == i else chunk
            body.append(b"%x;chunk-signature=%s\r\n%s" % (len(sent), last.encode(), sent + b"\r\n" if sent else b""))
        if trailer:
            line = f"{trailer[0]}:{trailer[1]}\n"
            last = self.sign("\n".join(["AWS4-HMAC-SHA256-TRAILER", self.stamp, self.scope, last,
                                        hashlib.sha256(line.encode()).hexdigest()]))
            body.append(f"{trailer[0]}:{trailer[1]}\r\nx-amz-trailer-signature:{last}\r\n".encode())
        body.append(b"\r\n")
        credential = f"AWS4-HMAC-SHA256 Credential={self.key}/{self.scope}, SignedHeaders={names}, Signature={seed}"
        with Wire(self.node.port) as wire:
            sent = [(k, v) for k, v in headers.items() if k != "host"] + [("Authorization", credential)]
            return wire.request("PUT", path, b"".join(body), sent)


def test_chunk_signatures(c, guarded):
    chunks = [data.content(f"chunk{i}", 70_000) for i in range(3)] + [b"the last one"]
    assert Chunked(guarded).put("/locked/chunked", chunks).status == 200
    assert c.get_object(Bucket="locked", Key="chunked")["Body"].read() == b"".join(chunks)
    for spoil in range(4):
        assert Chunked(guarded).put("/locked/spoiled", chunks, spoil=spoil).status in (400, 403)
    assert Chunked(guarded, secret="x").put("/locked/spoiled", chunks).status == 403
    old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    assert Chunked(guarded, at=old).put("/locked/spoiled", chunks).status == 403
    import base64
    import zlib

    crc = base64.b64encode(zlib.crc32(b"".join(chunks)).to_bytes(4, "big")).decode()
    assert Chunked(guarded).put("/locked/trailed", chunks, trailer=("x-amz-checksum-crc32", crc)).status == 200
    wrong = base64.b64encode(b"\0\0\0\0").decode()
    assert Chunked(guarded).put("/locked/spoiled", chunks, trailer=("x-amz-checksum-crc32", wrong)).status == 400
    with pytest.raises(ClientError):
        c.head_object(Bucket="locked", Key="spoiled")


def test_off_loopback_without_a_credential_is_refused(tmp_path):
    """Refused before it listens: nothing is ever reachable there."""
    node = Node(tmp_path)
    done = subprocess.run([binary(), "serve", "--config", str(node.config), "--listen", f"0.0.0.0:{node.port}"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "credential" in done.stderr
