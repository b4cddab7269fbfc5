"""rclone as Debian ships it: copy there and back, check, delete."""

import os
import shutil
import subprocess

import pytest
from harness import data

pytestmark = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")


@pytest.fixture
def rclone(s3, tmp_path):
    # This rclone refuses the AWS_ variables of other tools, such as a CA bundle.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    # A file of its own: rclone saves its configuration by a rename, and would put a file in place of a device.
    keys = {"RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "RCLONE_CONFIG_W_TYPE": "s3", "RCLONE_CONFIG_W_PROVIDER": "Other",
            "RCLONE_CONFIG_W_ENDPOINT": s3.url, "RCLONE_CONFIG_W_ACCESS_KEY_ID": s3.key,
            "RCLONE_CONFIG_W_SECRET_ACCESS_KEY": s3.secret, "RCLONE_CONFIG_W_REGION": "us-east-1",
            "RCLONE_CONFIG_W_FORCE_PATH_STYLE": "true"}

    def run(*words, status=0):
        done = subprocess.run(["rclone", "--retries", "1", "--low-level-retries", "1", *words],
                              env={**inherited, **keys}, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


def test_copy_check_delete(rclone, s3, tmp_path):
    here, back = tmp_path / "here", tmp_path / "back"
    sizes = {f"d{i % 3}/file {i} ü": i * 777 for i in range(30)} | {"large": 12 * data.MIB + 5, "empty": 0}
    for name, size in sizes.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.content(name, size))
    bucket = "W:rclone-" + data.md5(s3.url.encode())[:12]
    rclone("mkdir", bucket)
    rclone("copy", "--s3-chunk-size", "5Mi", "--s3-upload-cutoff", "8Mi", str(here), f"{bucket}/base")
    rclone("check", str(here), f"{bucket}/base")
    rclone("check", "--download", str(here), f"{bucket}/base")
    rclone("copy", f"{bucket}/base", str(back))
    for name, size in sizes.items():
        assert (back / name).read_bytes() == data.content(name, size), name
    listed = dict(reversed(line.strip().split(" ", 1)) for line in rclone("ls", f"{bucket}/base").splitlines())
    assert {k: int(v) for k, v in listed.items()} == sizes
    (here / "large").write_bytes(b"changed")
    rclone("check", str(here), f"{bucket}/base", status=1)
    rclone("sync", str(here), f"{bucket}/base")
    rclone("check", str(here), f"{bucket}/base")
    rclone("copyto", f"{bucket}/base/large", f"{bucket}/copied")
    assert rclone("cat", f"{bucket}/copied") == "changed"
    rclone("delete", bucket)
    assert rclone("ls", bucket) == ""
    rclone("rmdir", bucket)
