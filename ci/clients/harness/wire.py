"""Requests byte for byte: what no client library would send, and a small keep-alive client that is cheap."""

import socket


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name, default=None):
        name = name.lower()
        return next((v for k, v in self.headers if k == name), default)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Closed(Exception):
    """The server closed the connection before a whole answer."""


class Wire:
    """One connection. `target` and header values may be bytes and go out as they are."""

    def __init__(self, port, timeout=60):
        self.port, self.timeout, self.socket, self.buffer = port, timeout, None, b""

    def connect(self):
        self.close()
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        if self.socket is None:
            self.connect()
        self.socket.sendall(data)

    def request(self, method, target, body=None, headers=()):
        """Sends one request and reads its answer; reconnects after an answer that closes."""
        lines = [b"%s %s HTTP/1.1" % (raw(method), raw(target)), b"Host: 127.0.0.1:%d" % self.port]
        lines += [b"%s: %s" % (raw(k), raw(v)) for k, v in headers]
        if body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        self.send(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))
        answer = self.read(method)
        if (answer.header("connection") or "").lower() == "close":
            self.close()
        return answer

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(f"closed after {self.buffer[:200]!r}")
        self.buffer += data

    def read(self, method="GET"):
        """One answer, interim ones skipped."""
        while True:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            first, *rest = head.split(b"\r\n")
            status = int(first.split(b" ")[1])
            headers = [(k.decode("latin-1").lower(), v.strip().decode("latin-1")) for k, v in
                       (line.split(b":", 1) for line in rest)]
            if status >= 200:
                return Answer(status, headers, self._body(method, status, dict(headers)))

    def _body(self, method, status, headers):
        if method in ("HEAD", b"HEAD") or status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        try:
            while True:
                self._more()
        except Closed:
            body, self.buffer = self.buffer, b""
            self.close()
            return body

    def _exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            data = self.socket.recv(min(1 << 20, n - have))
            if not data:
                raise Closed(f"closed after {have} of {n} bytes of a body")
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def _chunked(self):
        out = []
        while True:
            while b"\r\n" not in self.buffer:
                self._more()
            line, self.buffer = self.buffer.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while not self.buffer.startswith(b"\r\n"):
                    if b"\r\n\r\n" in self.buffer:
                        self.buffer = self.buffer[self.buffer.index(b"\r\n\r\n") + 2 :]
                    else:
                        self._more()
                self.buffer = self.buffer[2:]
                return b"".join(out)
            out.append(self._exactly(size))
            self._exactly(2)


def raw(value):
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def once(port, method, target, body=None, headers=(), timeout=60):
    """One request on a connection of its own."""
    with Wire(port, timeout) as wire:
        return wire.request(method, target, body, headers)
