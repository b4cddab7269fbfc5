"""Every open of a process, as the kernel tells it (fanotify): also those that go through io_uring, which strace cannot see."""

import ctypes
import os
import struct
import threading

FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE = 0x1, 0x2, 0x10
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_OPEN, FAN_ONDIR, FAN_Q_OVERFLOW = 0x20, 0x40000000, 0x4000
EVENT = struct.Struct("=IBBHQii")


class Opens:
    """Collects the paths that `pid` opens on the file systems of `roots` while it is entered."""

    def __init__(self, pid, roots):
        self.pid, self.roots, self.paths, self.overflow = pid, roots, set(), False
        self.running = False

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "fanotify_init")
        for root in self.roots:
            mark = libc.fanotify_mark(self.fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ctypes.c_uint64(FAN_OPEN | FAN_ONDIR), -100,
                                      os.fsencode(str(root)))
            if mark < 0:
                error = ctypes.get_errno()
                os.close(self.fd)
                raise OSError(error, f"fanotify_mark {root}")
        self.running = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self):
        import select

        while self.running:
            if select.select([self.fd], [], [], 0.05)[0]:
                self._drain()
        self._drain()

    def _drain(self):
        while True:
            try:
                events = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at + EVENT.size <= len(events):
                length, _, _, _, mask, fd, pid = EVENT.unpack_from(events, at)
                at += length
                self.overflow |= bool(mask & FAN_Q_OVERFLOW)
                if fd < 0:
                    continue
                try:
                    if pid == self.pid:
                        self.paths.add(os.readlink(f"/proc/self/fd/{fd}"))
                finally:
                    os.close(fd)

    def __exit__(self, *_):
        self.running = False
        self.thread.join()
        os.close(self.fd)
