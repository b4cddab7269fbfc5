"""The `aws` command line: cp, sync, ls, rm, and a transfer that it splits into parts."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from harness import data

AWS = shutil.which("aws", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]))
pytestmark = pytest.mark.skipif(AWS is None, reason="the aws command is not installed")


@pytest.fixture
def aws(s3):
    def run(*words, status=0):
        done = subprocess.run([AWS, *words], env={**os.environ, **s3.environment}, capture_output=True, text=True)
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout

    return run


@pytest.fixture
def bucket(aws, s3, request):
    name = "cli-" + data.md5((request.node.name + s3.url).encode())[:16]
    aws("s3", "mb", f"s3://{name}")
    yield f"s3://{name}"
    aws("s3", "rb", "--force", f"s3://{name}")


def write(path, seed, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as f:
        for at in range(0, size, data.MIB):
            f.write(data.content(seed, min(data.MIB, size - at), at))


def tree(root):
    return {str(p.relative_to(root)): data.md5(p.read_bytes()) for p in root.rglob("*") if p.is_file()}


def test_cp_of_100_mib_in_parts(aws, bucket, tmp_path):
    size = 100 * data.MIB
    write(tmp_path / "big", "aws-big", size)
    aws("s3", "cp", "--no-progress", str(tmp_path / "big"), f"{bucket}/big")
    aws("s3", "cp", "--no-progress", f"{bucket}/big", str(tmp_path / "back"))
    with open(tmp_path / "back", "rb") as f:
        assert data.same(f, "aws-big", size) is None
    listed = aws("s3", "ls", f"{bucket}/")
    assert str(size) in listed and "big" in listed
    etag = aws("s3api", "head-object", "--bucket", bucket[5:], "--key", "big", "--query", "ETag", "--output", "text")
    assert "-" in etag, "the transfer was not split"


def test_cp_of_a_stream(aws, bucket, tmp_path, s3):
    body = data.content("stream", 9 * data.MIB)
    done = subprocess.run([AWS, "s3", "cp", "-", f"{bucket}/stream"], input=body, env={**os.environ, **s3.environment})
    assert done.returncode == 0
    done = subprocess.run([AWS, "s3", "cp", f"{bucket}/stream", "-"], env={**os.environ, **s3.environment},
                          capture_output=True)
    assert done.stdout == body


def test_sync_ls_rm(aws, bucket, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for i in range(40):
        write(here / f"d{i % 4}" / f"ü file {i}", f"sync-{i}", i * 1000)
    aws("s3", "sync", "--no-progress", str(here), f"{bucket}/base")
    aws("s3", "sync", "--no-progress", f"{bucket}/base", str(there))
    assert tree(here) == tree(there)
    assert aws("s3", "sync", str(here), f"{bucket}/base") == "", "nothing changed, so nothing is to be sent"
    assert len(aws("s3", "ls", "--recursive", bucket).splitlines()) == 40
    assert aws("s3", "ls", f"{bucket}/base/").split() == ["PRE", "d0/", "PRE", "d1/", "PRE", "d2/", "PRE", "d3/"]
    (here / "d0" / "ü file 0").unlink()
    aws("s3", "sync", "--delete", "--no-progress", str(here), f"{bucket}/base")
    assert len(aws("s3", "ls", "--recursive", bucket).splitlines()) == 39
    aws("s3", "rm", "--recursive", f"{bucket}/base/d1")
    assert len(aws("s3", "ls", "--recursive", bucket).splitlines()) == 29
    aws("s3", "cp", "--no-progress", f"{bucket}/base/d2/ü file 2", f"{bucket}/copied")
    aws("s3", "mv", "--no-progress", f"{bucket}/copied", str(tmp_path / "moved"))
    assert (tmp_path / "moved").read_bytes() == data.content("sync-2", 2000)
    aws("s3", "cp", f"{bucket}/copied", str(tmp_path / "again"), status=1)
