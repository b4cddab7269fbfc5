"""boto3 as it comes: default checksums, default retries off so that an error shows."""

import base64
import datetime
import hashlib
import io
import urllib.error
import urllib.request
import zlib

import pytest
from harness import data

boto3 = pytest.importorskip("boto3")
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

MIB = data.MIB
NAMES = ["plain", "dir/one", "dir/two", "dir/sub/three", "dir!bang", "über/ñ", "日本/語", "with space", "plus+plus", "per%cent",
         "per%41cent", "a&b=c;d", "tab\tin", "q?uery", "ha#sh", "quote'\"", "<xml>&amp;", "back\\slash", "~tilde", "a//b",
         "trailing/", "x" * 255, "y" * 1000, "deep/" * 60 + "end", "..", ".", "a/../b", "dot/./dot"]


def client(s3):
    # Version 4 signatures also in presigned URLs: the default there is still version 2.
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1, "mode": "standard"},
                    request_checksum_calculation="when_supported", response_checksum_validation="when_supported")
    return boto3.client("s3", endpoint_url=s3.url, aws_access_key_id=s3.key, aws_secret_access_key=s3.secret,
                        region_name="us-east-1", config=config)


@pytest.fixture(scope="module")
def c(s3):
    return client(s3)


@pytest.fixture
def bucket(c, s3, request):
    name = "b-" + hashlib.md5((request.node.nodeid + s3.url).encode()).hexdigest()[:20]
    c.create_bucket(Bucket=name)
    yield name
    for page in c.get_paginator("list_objects_v2").paginate(Bucket=name):
        for o in page.get("Contents", []):
            c.delete_object(Bucket=name, Key=o["Key"])
    for u in c.list_multipart_uploads(Bucket=name).get("Uploads", []):
        c.abort_multipart_upload(Bucket=name, Key=u["Key"], UploadId=u["UploadId"])
    c.delete_bucket(Bucket=name)


def refused(status, code, call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status, response
    if code is not None:
        assert response["Error"]["Code"] == code, response
    return response


def get(c, bucket, key, **more):
    return c.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65536, 65537, MIB, 5 * MIB + 3])
def test_what_is_put_is_got(c, bucket, size):
    body = data.content("put", size)
    put = c.put_object(Bucket=bucket, Key="o", Body=body)
    assert put["ETag"] == f'"{data.md5(body)}"'
    got = c.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == body
    assert (got["ContentLength"], got["ETag"]) == (size, put["ETag"])
    head = c.head_object(Bucket=bucket, Key="o")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])
    assert abs(head["LastModified"].timestamp() - datetime.datetime.now().timestamp()) < 60


def test_streamed_put(c, bucket):
    c.upload_fileobj(data.Reader("streamed", 3 * MIB), bucket, "o")
    assert get(c, bucket, "o") == data.content("streamed", 3 * MIB)


def test_overwrite_and_delete(c, bucket):
    for i in range(5):
        c.put_object(Bucket=bucket, Key="o", Body=data.content(i, 1000 * i))
        assert get(c, bucket, "o") == data.content(i, 1000 * i)
    c.delete_object(Bucket=bucket, Key="o")
    refused(404, "NoSuchKey", c.get_object, Bucket=bucket, Key="o")
    refused(404, None, c.head_object, Bucket=bucket, Key="o")
    c.delete_object(Bucket=bucket, Key="o")


@pytest.mark.parametrize("key", NAMES, ids=lambda k: repr(k[:20]))
def test_names_come_back_as_sent(c, bucket, key):
    body = data.content(key, 100)
    c.put_object(Bucket=bucket, Key=key, Body=body)
    assert get(c, bucket, key) == body
    assert [o["Key"] for o in c.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [o["Key"] for o in c.list_objects(Bucket=bucket)["Contents"]] == [key]
    c.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in c.list_objects_v2(Bucket=bucket)


def test_names_that_collide_as_paths(c, bucket):
    keys = ["a", "a/b", "a/b/c", "a//b", "a/", "a/b/"]
    for key in keys:
        c.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in keys:
        assert get(c, bucket, key) == key.encode()
    assert [o["Key"] for o in c.list_objects_v2(Bucket=bucket)["Contents"]] == sorted(keys)
    for i, key in enumerate(keys):
        c.delete_object(Bucket=bucket, Key=key)
        assert [o["Key"] for o in c.list_objects_v2(Bucket=bucket).get("Contents", [])] == sorted(keys[i + 1:])


@pytest.mark.parametrize("spec,first,end", [
    ("bytes=0-0", 0, 1), ("bytes=0-99", 0, 100), ("bytes=4095-4096", 4095, 4097), ("bytes=262143-262145", 262143, 262146),
    ("bytes=999999-", 999999, None), ("bytes=-1", -1, None), ("bytes=-5000", -5000, None), ("bytes=100-99999999", 100, None),
    ("bytes=-99999999", 0, None),
])
def test_ranges(c, bucket, spec, first, end):
    body = data.content("range", MIB + 77)
    c.put_object(Bucket=bucket, Key="o", Body=body)
    got = c.get_object(Bucket=bucket, Key="o", Range=spec)
    expected = body[first:end]
    assert got["Body"].read() == expected
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    begin = len(body) + first if first < 0 else first
    assert got["ContentRange"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(body)}"


def test_ranges_that_are_not_there(c, bucket):
    c.put_object(Bucket=bucket, Key="o", Body=b"12345")
    refused(416, "InvalidRange", c.get_object, Bucket=bucket, Key="o", Range="bytes=5-9")
    c.put_object(Bucket=bucket, Key="empty", Body=b"")
    refused(416, "InvalidRange", c.get_object, Bucket=bucket, Key="empty", Range="bytes=0-0")


def test_metadata_and_content_headers(c, bucket):
    sent = {"ContentType": "text/x-weir", "CacheControl": "no-store", "ContentDisposition": 'attachment; filename="f"',
            "ContentEncoding": "identity", "ContentLanguage": "de"}
    c.put_object(Bucket=bucket, Key="o", Body=b"x", Metadata={"one": "1", "two-words": "zwei Worte"}, **sent)
    for answer in (c.head_object(Bucket=bucket, Key="o"), c.get_object(Bucket=bucket, Key="o")):
        assert answer["Metadata"] == {"one": "1", "two-words": "zwei Worte"}
        assert {k: answer[k] for k in sent} == sent
    got = c.get_object(Bucket=bucket, Key="o", ResponseContentType="image/png", ResponseCacheControl="max-age=1")
    assert (got["ContentType"], got["CacheControl"]) == ("image/png", "max-age=1")
    c.put_object(Bucket=bucket, Key="o", Body=b"x")
    assert c.head_object(Bucket=bucket, Key="o")["Metadata"] == {}


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(c, bucket, algorithm):
    body = data.content(algorithm, 300_000)
    try:
        put = c.put_object(Bucket=bucket, Key="o", Body=body, ChecksumAlgorithm=algorithm)
    except Exception as e:
        if "awscrt" in str(e) or "Missing Dependency" in str(e):
            pytest.skip("boto3 needs awscrt for this one")
        raise
    field = f"Checksum{algorithm}"
    assert put[field]
    got = c.get_object(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
    assert got["Body"].read() == body and got[field] == put[field]


def test_a_wrong_checksum_is_refused_and_keeps_nothing(c, bucket):
    c.put_object(Bucket=bucket, Key="o", Body=b"before")
    wrong = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
    refused(400, None, c.put_object, Bucket=bucket, Key="o", Body=b"after!", ChecksumCRC32=wrong)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused(400, "BadDigest", c.put_object, Bucket=bucket, Key="o", Body=b"after!", ContentMD5=md5)
    assert get(c, bucket, "o") == b"before"


def test_conditional_reads(c, bucket):
    etag = c.put_object(Bucket=bucket, Key="o", Body=b"x")["ETag"]
    at = c.head_object(Bucket=bucket, Key="o")["LastModified"]
    hour = datetime.timedelta(hours=1)
    assert get(c, bucket, "o", IfMatch=etag) == b"x"
    assert get(c, bucket, "o", IfNoneMatch='"other"') == b"x"
    assert get(c, bucket, "o", IfModifiedSince=at - hour) == b"x"
    assert get(c, bucket, "o", IfUnmodifiedSince=at + hour) == b"x"
    refused(412, "PreconditionFailed", c.get_object, Bucket=bucket, Key="o", IfMatch='"other"')
    refused(412, "PreconditionFailed", c.get_object, Bucket=bucket, Key="o", IfUnmodifiedSince=at - hour)
    refused(304, None, c.get_object, Bucket=bucket, Key="o", IfNoneMatch=etag)
    refused(304, None, c.get_object, Bucket=bucket, Key="o", IfModifiedSince=at + hour)


def test_conditional_writes(c, bucket):
    etag = c.put_object(Bucket=bucket, Key="o", Body=b"1", IfNoneMatch="*")["ETag"]
    refused(412, "PreconditionFailed", c.put_object, Bucket=bucket, Key="o", Body=b"2", IfNoneMatch="*")
    refused(412, "PreconditionFailed", c.put_object, Bucket=bucket, Key="o", Body=b"2", IfMatch='"other"')
    assert get(c, bucket, "o") == b"1"
    c.put_object(Bucket=bucket, Key="o", Body=b"2", IfMatch=etag)
    assert get(c, bucket, "o") == b"2"


def test_copy(c, bucket):
    body = data.content("copy", 2 * MIB)
    c.put_object(Bucket=bucket, Key="from/ü %", Body=body, Metadata={"k": "v"}, ContentType="a/b")
    source = {"Bucket": bucket, "Key": "from/ü %"}
    c.copy_object(Bucket=bucket, Key="to", CopySource=source)
    assert get(c, bucket, "to") == body
    head = c.head_object(Bucket=bucket, Key="to")
    assert (head["Metadata"], head["ContentType"]) == ({"k": "v"}, "a/b")
    c.copy_object(Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "w"})
    assert c.head_object(Bucket=bucket, Key="to")["Metadata"] == {"n": "w"}
    refused(404, "NoSuchKey", c.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "none"})
    refused(400, None, c.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "to"})
    c.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "to"}, MetadataDirective="REPLACE",
                  Metadata={"self": "1"})
    assert c.head_object(Bucket=bucket, Key="to")["Metadata"] == {"self": "1"} and get(c, bucket, "to") == body


def test_multipart(c, bucket):
    sizes = [5 * MIB, 6 * MIB + 1, 100]
    upload = c.create_multipart_upload(Bucket=bucket, Key="o", Metadata={"m": "p"}, ContentType="x/y")["UploadId"]
    parts = []
    for n, size in reversed(list(enumerate(sizes, 1))):
        body = data.content(f"part{n}", size)
        parts.append({"PartNumber": n, "ETag": c.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=n,
                                                             Body=body)["ETag"]})
    parts.reverse()
    listed = c.list_parts(Bucket=bucket, Key="o", UploadId=upload)["Parts"]
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed] == \
        [(p["PartNumber"], s, p["ETag"]) for p, s in zip(parts, sizes)]
    assert [u["UploadId"] for u in c.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    refused(404, "NoSuchKey", c.get_object, Bucket=bucket, Key="o")
    done = c.complete_multipart_upload(Bucket=bucket, Key="o", UploadId=upload, MultipartUpload={"Parts": parts})
    digest = hashlib.md5(b"".join(bytes.fromhex(p["ETag"].strip('"')) for p in parts)).hexdigest()
    assert done["ETag"] == f'"{digest}-3"'
    expected = b"".join(data.content(f"part{n}", size) for n, size in enumerate(sizes, 1))
    got = c.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == expected and got["Metadata"] == {"m": "p"} and got["ContentType"] == "x/y"
    edge = get(c, bucket, "o", Range=f"bytes={5 * MIB - 10}-{5 * MIB + 9}")
    assert edge == expected[5 * MIB - 10:5 * MIB + 10]
    assert "Uploads" not in c.list_multipart_uploads(Bucket=bucket)


def test_multipart_errors(c, bucket):
    upload = c.create_multipart_upload(Bucket=bucket, Key="o")["UploadId"]
    small = c.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=1, Body=b"small")["ETag"]
    last = c.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=2, Body=b"last")["ETag"]

    def complete(*parts):
        return {"Bucket": bucket, "Key": "o", "UploadId": upload,
                "MultipartUpload": {"Parts": [{"PartNumber": n, "ETag": e} for n, e in parts]}}

    refused(400, "EntityTooSmall", c.complete_multipart_upload, **complete((1, small), (2, last)))
    refused(400, "InvalidPart", c.complete_multipart_upload, **complete((1, last)))
    refused(400, "InvalidPart", c.complete_multipart_upload, **complete((7, last)))
    refused(400, "InvalidPartOrder", c.complete_multipart_upload, **complete((2, last), (1, small)))
    c.abort_multipart_upload(Bucket=bucket, Key="o", UploadId=upload)
    refused(404, "NoSuchUpload", c.upload_part, Bucket=bucket, Key="o", UploadId=upload, PartNumber=1, Body=b"x")
    refused(404, "NoSuchUpload", c.complete_multipart_upload, **complete((2, last)))
    refused(404, "NoSuchUpload", c.list_parts, Bucket=bucket, Key="o", UploadId=upload)
    refused(404, "NoSuchKey", c.get_object, Bucket=bucket, Key="o")


def test_part_copy(c, bucket):
    body = data.content("source", 12 * MIB)
    c.upload_fileobj(io.BytesIO(body), bucket, "source")
    upload = c.create_multipart_upload(Bucket=bucket, Key="o")["UploadId"]
    parts = []
    for n, (start, end) in enumerate([(0, 5 * MIB), (6 * MIB + 1, 12 * MIB), (17, 18)], 1):
        copied = c.upload_part_copy(Bucket=bucket, Key="o", UploadId=upload, PartNumber=n,
                                    CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange=f"bytes={start}-{end - 1}")
        parts.append({"PartNumber": n, "ETag": copied["CopyPartResult"]["ETag"]})
    c.complete_multipart_upload(Bucket=bucket, Key="o", UploadId=upload, MultipartUpload={"Parts": parts})
    assert get(c, bucket, "o") == body[:5 * MIB] + body[6 * MIB + 1:] + body[17:18]


def test_managed_multipart_transfer(c, bucket):
    size = 40 * MIB + 11
    c.upload_fileobj(data.Reader("managed", size), bucket, "o")
    assert c.head_object(Bucket=bucket, Key="o")["ETag"].strip('"').endswith("-6")
    out = io.BytesIO()
    c.download_fileobj(bucket, "o", out)
    out.seek(0)
    assert data.same(out, "managed", size) is None


def test_listing_pages_and_delimiter(c, bucket):
    keys = [f"{d}/{i:03}" for d in ("a", "b", "b-c", "ü") for i in range(30)] + ["a", "a0", "zz"]
    for key in keys:
        c.put_object(Bucket=bucket, Key=key, Body=b"")
    keys.sort(key=lambda k: k.encode())

    def pages(**arguments):
        found, prefixes, token, count = [], [], {}, 0
        while True:
            page = c.list_objects_v2(Bucket=bucket, **arguments, **token)
            count += 1
            found += [o["Key"] for o in page.get("Contents", [])]
            prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
            assert page["KeyCount"] == len(page.get("Contents", [])) + len(page.get("CommonPrefixes", []))
            if not page["IsTruncated"]:
                return found, prefixes, count
            token = {"ContinuationToken": page["NextContinuationToken"]}

    assert pages() == (keys, [], 1)
    assert pages(MaxKeys=7) == (keys, [], -(-len(keys) // 7))
    assert pages(Prefix="b") == ([k for k in keys if k.startswith("b")], [], 1)
    assert pages(Delimiter="/") == (["a", "a0", "zz"], ["a/", "b-c/", "b/", "ü/"], 1)
    assert pages(Delimiter="/", MaxKeys=2)[:2] == (["a", "a0", "zz"], ["a/", "b-c/", "b/", "ü/"])
    assert pages(Prefix="a", Delimiter="0")[:2] == (["a"], ["a/0", "a0"])
    assert pages(StartAfter="b/010", Prefix="b/")[0] == [f"b/{i:03}" for i in range(11, 30)]
    marker = c.list_objects(Bucket=bucket, MaxKeys=5, Delimiter="/")
    assert [p["Prefix"] for p in marker["CommonPrefixes"]] + [o["Key"] for o in marker["Contents"]] == \
        ["a/", "b-c/", "b/", "a", "a0"]
    rest = c.list_objects(Bucket=bucket, Delimiter="/", Marker=marker["NextMarker"])
    assert [p["Prefix"] for p in rest["CommonPrefixes"]] == ["ü/"]


def test_delete_objects(c, bucket):
    keys = [f"k/{i}" for i in range(50)] + ["<a&b>", "ü", "tab\t"]
    for key in keys:
        c.put_object(Bucket=bucket, Key=key, Body=b"x")
    gone = c.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys + ["never there"]]})
    assert sorted(d["Key"] for d in gone["Deleted"]) == sorted(keys + ["never there"]) and "Errors" not in gone
    assert "Contents" not in c.list_objects_v2(Bucket=bucket)
    c.put_object(Bucket=bucket, Key="q", Body=b"x")
    assert "Deleted" not in c.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "q"}], "Quiet": True})
    refused(404, None, c.head_object, Bucket=bucket, Key="q")


def test_buckets(c, bucket):
    assert bucket in [b["Name"] for b in c.list_buckets()["Buckets"]]
    c.head_bucket(Bucket=bucket)
    refused(404, None, c.head_bucket, Bucket="no-such-bucket-here")
    refused(404, "NoSuchBucket", c.list_objects_v2, Bucket="no-such-bucket-here")
    refused(404, "NoSuchBucket", c.put_object, Bucket="no-such-bucket-here", Key="k", Body=b"")
    c.put_object(Bucket=bucket, Key="k", Body=b"")
    refused(409, "BucketNotEmpty", c.delete_bucket, Bucket=bucket)
    assert "LocationConstraint" in c.get_bucket_location(Bucket=bucket)


def test_bucket_names_that_are_routes_are_refused(c, request):
    if request.config.getoption("--s3"):
        pytest.skip("these are routes of ours")
    for name in ["metrics", "ais"]:
        refused(400, None, c.create_bucket, Bucket=name)


def test_presigned(c, bucket):
    body = data.content("presigned", 70_000)
    put = c.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "dir/ü o"}, ExpiresIn=60)
    request = urllib.request.Request(put, data=body, method="PUT", headers={"Content-Type": "binary/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    got = c.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "dir/ü o"}, ExpiresIn=60)
    with urllib.request.urlopen(got) as answer:
        assert answer.read() == body
    gone = c.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "none"}, ExpiresIn=60)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(gone)
    assert caught.value.code == 404
