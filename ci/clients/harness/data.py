"""Content that its seed determines and that can be produced at any offset, and the names that tests use."""

import hashlib
import random

MIB = 1 << 20
_POOLS = {}


def _pool(seed):
    if seed not in _POOLS:
        if len(_POOLS) > 64:
            _POOLS.clear()
        _POOLS[seed] = random.Random(f"weir-{seed}").randbytes(MIB + 65536)
    return _POOLS[seed]


def content(seed, size, start=0):
    """Bytes start..start+size of the content of `seed`: no two of its first 65,536 MiB are alike."""
    pool, out, at, end = _pool(seed), [], start, start + size
    while at < end:
        block, within = divmod(at, MIB)
        take = min(MIB - within, end - at)
        shift = block * 37 % 65536
        out.append(pool[shift + within : shift + within + take])
        at += take
    return b"".join(out) if len(out) != 1 else out[0]


class Reader:
    """The content of `seed` as a file that can be read and rewound, without holding it in memory."""

    def __init__(self, seed, size):
        self.seed, self.size, self.at = seed, size, 0

    def __len__(self):
        return self.size

    def read(self, n=-1):
        n = self.size - self.at if n is None or n < 0 else min(n, self.size - self.at)
        data = content(self.seed, n, self.at)
        self.at += n
        return data

    def seek(self, offset, whence=0):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self):
        return self.at

    def seekable(self):
        return True

    def readable(self):
        return True

    def close(self):
        """Nothing is held."""


def same(stream, seed, size, start=0):
    """Reads `stream` to its end and says at which byte it differs from the content of `seed`; None if it does not."""
    at = start
    while chunk := stream.read(MIB):
        expected = content(seed, len(chunk), at)
        if chunk != expected:
            return next(at + i for i, (a, b) in enumerate(zip(chunk, expected)) if a != b)
        at += len(chunk)
    return None if at == start + size else at


def md5(data):
    return hashlib.md5(data).hexdigest()
