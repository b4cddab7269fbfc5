"""Names that try to be more than names, as they stand percent-encoded in a request line."""

from urllib.parse import quote

UP = ["..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%f0%80%80%ae.", "..%00",
      "%00..", "..%20", "..%2e", "...", "....", "..;", "%uff0e%uff0e", "%ef%bc%8e%ef%bc%8e", ".", "%2e"]
SLASH = ["/", "%2f", "%2F", "%252f", "%5c", "\\", "%c0%af", "%e2%88%95", "//", "/./"]
TARGETS = ["canary.txt", "etc/passwd", "node", "%25wk", ""]
OWN = ["%25ob", "%25wk", "%25nm", "%25ob/x", "%25wk/x", "%25nm/x", "@ais", "@ais/kill/%25ob/x", "@aws", ".weir", ".weir.id", ".ais",
       "user.weir", "lost%2bfound", "%23ns", "%40uuid%23ns", "identity", "node", "redb", "%25", "%2525ob"]
SHELL = ["$(id)", "`id`", ";id", "|id", "%26%26id", "${HOME}", "~", "~root", "*", "%3f", "[a-z]", "{a,b}", "-rf", "--help", "'", "%22",
         "<script>", "%0d%0aX-Injected:%201", "%0d%0a%0d%0aHTTP/1.1%20200", "%0a", "%0d", "%09", "%20", "%20lead", "trail%20",
         "CON", "NUL", "aux.txt", "C:%5cWindows", "C:", "file:///etc/passwd", "http://127.0.0.1/", "a:b", "a::$DATA", "trail."]
UNICODE = ["%ed%a0%80", "%ed%bf%bf", "%ed%a0%bd%ed%b8%80", "%f4%90%80%80", "%fe%ff", "%ff%fe", "%80", "%c3", "%e2%82", "%f0%9f%98",
           "%c1%81", "%c0%80", "%e0%80%80", "%f8%88%80%80%80", "%e2%80%8b", "%e2%80%8e", "%e2%80%ae", "%ef%bb%bf", "%cc%81",
           "e%cc%81", "%c3%a9", "%e1%84%80%e1%85%a1", "%ea%b0%80", "%f0%9f%98%80", "%ef%bf%bd", "%ef%bf%bf", "%f3%a0%80%81",
           "%c4%b0", "%c4%b1", "%c3%9f", "SS", "ss", "Case", "case", "CASE"]


def hostile():
    """At least 500 different ones."""
    names = []
    for up in UP:
        for slash in SLASH:
            for depth in (1, 3, 9):
                names.append(slash.join([up] * depth) + slash + TARGETS[(len(names)) % len(TARGETS)])
    for up in UP:
        names += [up, f"a/{up}/b", f"a/{up}", f"{up}/a", f"a{up}", f"{up}a"]
    names += ["/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "%5cetc%5cpasswd", "/", "//", "///", "a//b", "a///b", "a/", "a//", "/a", "//a"]
    names += [f"byte{c}" for c in ()] + [f"b%{c:02x}x" for c in range(256)] + [f"%{c:02x}" for c in range(256)]
    names += OWN + SHELL + UNICODE
    names += ["x" * n for n in (254, 255, 256, 512, 1023, 1024, 1025, 2048, 4096)]
    names += ["a/" * n + "z" for n in (10, 127, 400, 511, 512, 2000)] + ["/".join(["y" * 255] * n) for n in (2, 3, 4, 5, 16)]
    names += ["%41" * n for n in (100, 1024, 1400, 2500)] + ["%c3%a9" * n for n in (127, 128, 512, 513)] + ["../" * 340, "%00" * 50]
    return list(dict.fromkeys(n for n in names if n))


def as_bytes(name):
    """The percent-encoded name as it goes into a request line; what a line cannot hold is encoded."""
    return quote(name, safe="%/:;,@&=+$!*'()~[]{}|\\`<>\"^-._?#").replace("?", "%3f").replace("#", "%23").encode("latin-1")
