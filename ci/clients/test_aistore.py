"""The `aistore` SDK, whichever generation is installed beside this suite: 1.26.0 and 2.0.0 are both in use."""

import hashlib

import pytest
from harness import data

aistore = pytest.importorskip("aistore")
from aistore.sdk import Client  # noqa: E402
from aistore.sdk.errors import (AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound,  # noqa: E402
                                ErrRemoteBckNotFound)
from aistore.sdk.list_object_flag import ListObjectFlag  # noqa: E402
from aistore.sdk.multiobj import ObjectRange  # noqa: E402
from aistore.sdk.retry_config import RetryConfig  # noqa: E402
from tenacity import Retrying, stop_after_attempt  # noqa: E402
from urllib3 import Retry  # noqa: E402

MIB = data.MIB
V1 = hasattr(aistore.sdk.obj.object.Object, "head_v2")


def client(node, token=None):
    """Without retries: an error is to be seen, and an absent object is not to be waited for."""
    once = RetryConfig(http_retry=Retry(total=0), network_retry=Retrying(stop=stop_after_attempt(1), reraise=True))
    return Client(node.url, retry_config=once, token=token)


@pytest.fixture(scope="module")
def c(ais):
    return client(ais)


@pytest.fixture
def bucket(c, request):
    name = "sdk-" + hashlib.md5(request.node.nodeid.encode()).hexdigest()[:16]
    made = c.bucket(name).create(exist_ok=True)
    yield made
    made.delete(missing_ok=True)


def put(bucket, name, body):
    bucket.object(name).get_writer().put_content(body)


def get(bucket, name, **more):
    return bucket.object(name).get_reader(**more).read_all()


def attributes(o, props=""):
    return o.head_v2(props) if V1 else o.head(props)


def names(entries):
    return [e.name for e in entries]


def test_cluster(c):
    cluster = c.cluster()
    assert cluster.is_ready()
    smap = cluster.get_info()
    assert smap.proxy_si.daemon_id and smap.tmap and smap.uuid
    assert cluster.get_primary_url()


def test_buckets(c):
    b = c.bucket("crud")
    b.create()
    with pytest.raises(ErrBckAlreadyExists):
        b.create()
    assert b.create(exist_ok=True)
    assert "crud" in [x.name for x in c.cluster().list_buckets(provider="ais")]
    assert b.head().get("Ais-Bucket-Props")
    b.delete()
    with pytest.raises(ErrBckNotFound):
        b.delete()
    b.delete(missing_ok=True)
    with pytest.raises(ErrBckNotFound):
        b.list_objects()
    assert "crud" not in [x.name for x in c.cluster().list_buckets(provider="ais")]


@pytest.mark.parametrize("size", [0, 1, 4096, 65537, MIB, 9 * MIB + 1])
def test_what_is_put_is_got(bucket, size):
    body = data.content("sdk", size)
    put(bucket, "o", body)
    reader = bucket.object("o").get_reader()
    assert reader.read_all() == body
    assert reader.attributes.size == size and reader.attributes.checksum_type == "xxhash2"
    assert len(reader.attributes.checksum_value) == 16
    with bucket.object("o").get_reader().as_file() as f:
        assert f.read() == body


def test_put_file_and_chunks(bucket, tmp_path):
    body = data.content("file", 5 * MIB + 9)
    (tmp_path / "f").write_bytes(body)
    bucket.object("dir/f").get_writer().put_file(tmp_path / "f")
    assert b"".join(bucket.object("dir/f").get_reader(chunk_size=70_000)) == body
    with open(tmp_path / "out", "wb") as out:
        bucket.object("dir/f").get_reader(writer=out)
    assert (tmp_path / "out").read_bytes() == body


def test_versions_overwrite_delete(bucket):
    for i in range(1, 4):
        put(bucket, "o", b"x" * i)
        assert get(bucket, "o") == b"x" * i
        assert attributes(bucket.object("o"), "version").obj_version == str(i)
    bucket.object("o").delete()
    with pytest.raises(ErrObjNotFound):
        get(bucket, "o")
    with pytest.raises(AISError):
        bucket.object("o").delete()


@pytest.mark.parametrize("spec,first,end", [("bytes=0-0", 0, 1), ("bytes=5-", 5, None), ("bytes=-7", -7, None),
                                            ("bytes=100-2000000", 100, None), ("bytes=262140-262150", 262140, 262151)])
def test_ranges(bucket, spec, first, end):
    body = data.content("ranges", MIB + 5)
    put(bucket, "o", body)
    assert get(bucket, "o", byte_range=spec) == body[first:end]


def test_a_range_past_the_end_is_refused(bucket):
    put(bucket, "o", b"12345")
    with pytest.raises(AISError) as caught:
        get(bucket, "o", byte_range="bytes=5-9")
    assert caught.value.status_code == 416


def test_parallel_read(bucket):
    body = data.content("parallel", 20 * MIB + 3)
    put(bucket, "o", body)
    read = bucket.object("o").get_reader(num_workers=3, chunk_size=3 * MIB).read_all()
    with read if hasattr(read, "__enter__") else _plain(read) as out:
        assert bytes(getattr(out, "buf", out)) == body


class _plain:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        pass


def test_custom_metadata(bucket):
    put(bucket, "o", b"x")
    writer = bucket.object("o").get_writer()
    writer.set_custom_props({"a": "1", "b": "2"})
    assert attributes(bucket.object("o"), "custom").custom_metadata == {"a": "1", "b": "2"}
    writer.set_custom_props({"b": "3"})
    assert attributes(bucket.object("o"), "custom").custom_metadata == {"a": "1", "b": "3"}
    writer.set_custom_props({"c": "4"}, replace_existing=True)
    assert attributes(bucket.object("o"), "custom").custom_metadata == {"c": "4"}
    assert bucket.object("o").get_reader().attributes.custom_metadata == {"c": "4"}
    assert get(bucket, "o") == b"x"


def test_head(bucket):
    put(bucket, "o", data.content("head", 12345))
    a = attributes(bucket.object("o"), "name,size,checksum,version,atime,custom,location,copies,chunked,last-modified,etag")
    assert (a.size, a.present, a.obj_version, a.checksum_type) == (12345, True, "1", "xxhash2")
    assert attributes(bucket.object("o")).size == 12345
    with pytest.raises(AISError):
        attributes(bucket.object("o"), "no-such-property")
    with pytest.raises(AISError):
        attributes(bucket.object("absent"))


@pytest.mark.skipif(not V1, reason="only 1.26 asks without props")
def test_head_v1(bucket):
    put(bucket, "o", b"12345")
    h = bucket.object("o").head()
    assert h["Ais-Present"] == "true" and h["Content-Length"] == "5"
    assert (h["Ais-Name"], h["Ais-Bucket-Name"], h["Ais-Bucket-Provider"]) == ("o", bucket.name, "ais")
    assert "Ais-Mirror-Paths" in h and h["Ais-Location"].startswith("t[")
    props = bucket.object("o").props
    assert props.size == 5 and props.mirror_paths is not None


def test_multipart(bucket):
    parts = {n: data.content(f"part-{n}", MIB * n + 1) for n in (1, 2, 3)}
    upload = bucket.object("o").multipart_upload().create()
    for n in (1, 2, 3):
        upload.add_part(n).put_content(parts[n])
    upload.complete()
    whole = b"".join(parts[n] for n in (1, 2, 3))
    assert get(bucket, "o") == whole
    assert get(bucket, "o", byte_range=f"bytes={MIB - 5}-{MIB + 5}") == whole[MIB - 5:MIB + 6]
    a = attributes(bucket.object("o"), "size,chunked")
    assert a.size == len(whole)
    assert a.chunks.chunk_count == 3 and a.chunks.max_chunk_size == len(parts[3])
    aborted = bucket.object("gone").multipart_upload().create()
    aborted.add_part(1).put_content(b"x")
    aborted.abort()
    with pytest.raises(AISError):
        aborted.complete()
    with pytest.raises(ErrObjNotFound):
        get(bucket, "gone")


@pytest.mark.parametrize("before", [None, b"", b"here before", data.content("before", MIB + 5)],
                         ids=["none", "empty", "small", "large"])
def test_append(bucket, before):
    o = bucket.object("dir/log")
    whole = before or b""
    if before is not None:
        put(bucket, "dir/log", before)
    for round_ in range(2):
        seen, handle = whole, ""
        for size in (10, 0, 70_000):
            piece = data.content(f"piece-{round_}-{size}", size)
            handle = o.get_writer().append_content(piece, handle)
            assert handle.count("|") == 3
            whole += piece
            if before is None and round_ == 0:
                with pytest.raises(ErrObjNotFound):
                    get(bucket, "dir/log")
            else:
                assert get(bucket, "dir/log") == seen
        assert o.get_writer().append_content(b"", handle, flush=True) == ""
        assert get(bucket, "dir/log") == whole
        assert attributes(o, "version").obj_version == str(round_ + 1 + (before is not None))


def test_an_object_as_a_file_to_write_to(bucket):
    put(bucket, "o", b"one")
    with bucket.object("o").get_writer().as_file(mode="a") as f:
        assert [f.write(piece) for piece in (b" two", b" three")] == [4, 6]
        assert get(bucket, "o") == b"one"
        f.flush()
        assert get(bucket, "o") == b"one two three"
        f.write(b" four")
    assert get(bucket, "o") == b"one two three four"
    with bucket.object("o").get_writer().as_file(mode="w") as f:
        f.write(b"anew")
    assert get(bucket, "o") == b"anew"


def test_an_append_with_a_wrong_handle_is_refused(bucket):
    put(bucket, "o", b"kept")
    writer = bucket.object("o").get_writer()
    handle = writer.append_content(b" more")
    node, upload, parts, digest = handle.split("|")
    for wrong, flush, status in [("nonsense", False, 400), ("", True, 400), (f"{node}|{upload}|9|{digest}", True, 400),
                                 (f"{node}|{upload}x|{parts}|{digest}", False, 404)]:
        with pytest.raises(AISError) as caught:
            writer.append_content(b"" if flush else b"x", wrong, flush)
        assert caught.value.status_code == status, wrong
    with pytest.raises(AISError) as caught:
        bucket.object("another").get_writer().append_content(b"x", handle)
    assert caught.value.status_code == 404
    assert get(bucket, "o") == b"kept"
    writer.append_content(b"", handle, flush=True)
    assert get(bucket, "o") == b"kept more"


def test_copy(c, bucket):
    body = data.content("copy", 2 * MIB)
    put(bucket, "from", body)
    other = c.bucket(bucket.name + "-to").create(exist_ok=True)
    bucket.object("from").copy(bucket.object("to"))
    bucket.object("from").copy(other.object("dir/to"))
    assert get(bucket, "to") == body and get(other, "dir/to") == body and get(bucket, "from") == body
    other.delete()


def test_rename(bucket):
    """The SDK has no call for it; the message is the one of the command line."""
    put(bucket, "from", b"renamed")
    o = bucket.object("from")
    bucket.client.request("post", path=f"objects/{bucket.name}/from", params=bucket.qparam,
                          json={"action": "rename-obj", "name": "dir/to"})
    assert get(bucket, "dir/to") == b"renamed"
    with pytest.raises(ErrObjNotFound):
        o.get_reader().read_all()


def test_listing_props_and_prefix(bucket):
    for i in range(30):
        put(bucket, f"{'ab'[i % 2]}/{i:02}", b"x" * i)
    everything = bucket.list_all_objects(props="name,size,version,checksum,atime,cached,custom,copies")
    assert names(everything) == sorted(f"{'ab'[i % 2]}/{i:02}" for i in range(30))
    assert {e.name: e.size for e in everything} == {f"{'ab'[i % 2]}/{i:02}": i for i in range(30)}
    assert all(e.checksum and e.version == "1" for e in everything)
    assert names(bucket.list_all_objects(prefix="b/")) == [f"b/{i:02}" for i in range(1, 30, 2)]
    assert names(bucket.list_objects(prefix="none").entries or []) == []
    first = bucket.list_objects(page_size=4)
    assert len(first.entries) == 4 and first.continuation_token
    assert names(bucket.list_all_objects(page_size=4)) == names(everything)
    assert names(bucket.list_objects_iter(page_size=7)) == names(everything)
    only = bucket.list_all_objects(flags=[ListObjectFlag.NAME_ONLY])
    assert names(only) == names(everything)
    assert names(bucket.list_all_objects(start_after="b/25")) == ["b/27", "b/29"]


def test_many_objects_are_deleted_by_one_job(c, bucket):
    for i in range(12):
        put(bucket, f"many/{i:02}", b"x")
    put(bucket, "stays", b"x")

    def wait(job_id):
        job = c.job(job_id)
        job.wait(timeout=60)
        # The kind by its other name, and no kind at all.
        assert c.job(job_id, "delete-objects").status().end_time != 0

    wait(bucket.objects(obj_names=["many/00", "many/01", "never"]).delete())
    wait(bucket.objects(obj_range=ObjectRange("many/", 2, 5, pad_width=2)).delete())
    assert names(bucket.list_all_objects()) == [f"many/{i:02}" for i in range(6, 12)] + ["stays"]
    wait(bucket.objects(obj_template="many/").delete())
    assert names(bucket.list_all_objects()) == ["stays"]


def test_listing_of_25000_names_over_pages(c, wire_port):
    from concurrent.futures import ThreadPoolExecutor

    from harness.wire import Wire

    b = c.bucket("many").create(exist_ok=True)
    expected = sorted(f"d{i % 17}/n{i:05}" for i in range(25_000))

    def fill(part):
        with Wire(wire_port) as wire:
            for name in expected[part::4]:
                assert wire.request("PUT", f"/v1/objects/many/{name}?provider=ais", b"").status == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(4)))
    assert names(b.list_all_objects()) == expected
    assert names(b.list_all_objects(page_size=1000)) == expected
    assert names(b.list_objects_iter(prefix="d1", page_size=333)) == [n for n in expected if n.startswith("d1")]
    assert len(b.list_objects().entries) <= 10_000
    b.delete()


NAMES = ["plain", "dir/one", "über/ñ", "日本/語", "with space", "plus+plus", "per%cent", "per%41", "a&b=c;d", "q?uery", "ha#sh",
         "quote'\"", "<xml>", "back\\slash", "a//b", "trailing/", "x" * 255, "y" * 1000, "..", ".", "a/../b", "./dot"]


@pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n[:20]))
def test_names_come_back_as_sent(bucket, wire_port, name):
    """Sent byte for byte: the SDK's HTTP library would itself resolve `.` and `..`."""
    from urllib.parse import quote

    from harness.wire import once

    body = data.content(name, 99)
    target = f"/v1/objects/{bucket.name}/{quote(name)}?provider=ais"
    assert once(wire_port, "PUT", target, body).status == 200
    assert once(wire_port, "GET", target).body == body
    assert names(bucket.list_all_objects()) == [name]
    assert once(wire_port, "DELETE", target).status == 200
    assert names(bucket.list_all_objects() or []) == []


@pytest.fixture(scope="module")
def remote(request):
    if request.config.getoption("--ais"):
        pytest.skip("the origin stands behind our node only")
    start, origin = request.getfixturevalue("start"), request.getfixturevalue("origin")
    origin.make("far")
    for name, size in [("a/1", 10), ("a/2", 70_000), ("b", 5 * MIB + 1), ("empty", 0)]:
        origin.make("far", name, size, version="v" + str(size))
    started = start("remote", origins=[origin.url])
    return client(started), origin


def test_remote_bucket_is_read(remote):
    c, origin = remote
    b = c.bucket("far", provider="aws")
    listed = {e.name: e.size for e in b.list_all_objects(props="name,size,cached")}
    assert listed == {"a/1": 10, "a/2": 70_000, "b": 5 * MIB + 1, "empty": 0}
    assert names(b.list_all_objects(prefix="a/")) == ["a/1", "a/2"]
    assert names(b.list_all_objects(flags=[ListObjectFlag.CACHED]) or []) == []
    assert attributes(b.object("b"), "size").present is False
    origin.reset()
    assert get(b, "b", byte_range="bytes=1048570-1048580") == data.content("b", 11, 1048570)
    for _ in range(3):
        assert get(b, "b") == data.content("b", 5 * MIB + 1)
        assert get(b, "a/1") == data.content("a/1", 10)
        assert get(b, "empty") == b""
    assert get(b, "b", byte_range="bytes=-3") == data.content("b", 3, 5 * MIB - 2)
    assert origin.counts()["gets"]["far/a/1"] == 1 and origin.counts()["gets"]["far/b"] <= 2
    a = attributes(b.object("a/1"), "size,version,custom,etag")
    assert a.present is True and a.obj_version == "v10" and a.custom_metadata["ETag"].strip('"') == data.md5(
        data.content("a/1", 10))
    assert names(b.list_all_objects(flags=[ListObjectFlag.CACHED])) == ["a/1", "b", "empty"]


def test_remote_errors(remote):
    c, origin = remote
    with pytest.raises(ErrObjNotFound):
        get(c.bucket("far", provider="aws"), "none")
    with pytest.raises(ErrRemoteBckNotFound):
        c.bucket("no-such-bucket", provider="aws").list_objects()


def test_an_origin_that_breaks_off_leaves_nothing(remote):
    c, origin = remote
    b = c.bucket("far", provider="aws")
    origin.make("far", "broken", 3 * MIB)
    origin.set(cut_after=MIB + 7)
    try:
        got = None
        try:
            got = get(b, "broken")
        except Exception:  # noqa: BLE001  any error is right, wrong bytes are not
            pass
        # Read on from where it broke is as good as an error.
        assert got in (None, data.content("broken", 3 * MIB))
        kept = "broken" in names(b.list_all_objects(flags=[ListObjectFlag.CACHED]) or [])
        assert got is not None or not kept
    finally:
        origin.set(cut_after=-1)
    assert get(b, "broken") == data.content("broken", 3 * MIB)


def test_evict_of_one_object(remote):
    c, origin = remote
    b = c.bucket("far", provider="aws")
    assert get(b, "a/2") == data.content("a/2", 70_000)
    b.client.request("delete", path="objects/far/a/2", params=b.qparam,
                     json={"action": "evict-listrange", "name": "far/a/2"})
    assert attributes(b.object("a/2"), "size").present is False
    origin.reset()
    assert get(b, "a/2") == data.content("a/2", 70_000)
    assert origin.counts()["gets"] == {"far/a/2": 1}


def test_buckets_are_copied_and_renamed_by_jobs(c, bucket):
    for i in range(30):
        bucket.object(f"copied/{i}.old").get_writer().put_content(b"%d" % i)
    bucket.object("left").get_writer().put_content(b"x")
    to, renamed = c.bucket(f"{bucket.name}-copy"), f"{bucket.name}-renamed"

    def wait(job_id):
        job = c.job(job_id)
        job.wait(timeout=60)
        assert c.job(job_id).status().err == ""
        return sum(snap.stats.objects for snap in job.get_details().list_snapshots())

    assert wait(bucket.copy(to, prefix_filter="copied/", prepend="n-", ext={"old": "new"})) == 30
    assert sorted(e.name for e in to.list_all_objects()) == sorted(f"n-copied/{i}.new" for i in range(30))
    assert to.object("n-copied/7.new").get_reader().read_all() == b"7"
    for job_id in bucket.objects(obj_names=["left", "never"]).copy(to):
        assert wait(job_id) == 1
    assert to.object("left").get_reader().read_all() == b"x"
    job_id = to.rename(renamed)
    assert wait(job_id) == 31
    assert len(c.bucket(renamed).list_all_objects()) == 31
    names = [b.name for b in c.cluster().list_buckets()]
    assert renamed in names and f"{bucket.name}-copy" not in names
    with pytest.raises(AISError):
        bucket.copy(c.bucket(renamed), sync=True)
    c.bucket(renamed).delete()
