"""Hostile requests beside the calls: other addresses of the server, names of uploads, and bodies without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

JSON = {"content-type": "application/json"}
BOUNDARY = b"beyond"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
PLAIN_FORM = {"content-type": "application/x-www-form-urlencoded"}
UPLOAD = "/gradio_api/upload"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the server has to refuse."""

    method: str
    path: str
    content: bytes | Iterator[bytes] = b""
    headers: dict[str, str] | None = None
    status: range | tuple[int, ...] = range(400, 500)


def form(name: bytes, content: bytes, field: bytes = b"files") -> bytes:
    """The body of an upload, the name as it is."""
    head = b'Content-Disposition: form-data; name="%s"; filename="%s"' % (field, name)
    return b"--%s\r\n%s\r\n\r\n%s\r\n--%s--\r\n" % (BOUNDARY, head, content, BOUNDARY)


def requests() -> Iterator[Request]:
    """All of them; made anew each time, for some are read only once."""
    for path in (
        "file=/etc/passwd",
        "file=etc/passwd",
        "file=../../../../etc/passwd",
        "file=%2e%2e%2f%2e%2e%2fetc/passwd",
        "file=/proc/self/environ",
        "file=app.py",
        "file=server.txt",
        "file=records",
        "file=temporary",
        "file=a%00b",
        "file=" + "x" * 5_000,
        "file=http://169.254.169.254/latest/meta-data/",
        "file=HTTP://127.0.0.1:1/",
        "file=https:%2F%2Fexample.com/x",
        "file/http://example.com/x",
        "file/etc/passwd",
        "proxy=http://169.254.169.254/",
        "stream/a/b/1/playlist.m3u8",
        "stream/a/b/1/playlist-file",
        "stream/a/b/1/c.ts",
        "custom_component/1/client/component/../../../../etc/passwd",
        "custom_component/9999/client/component/x.js",
        "component_server",
        "dev/reload",
        "deep_link?session_hash=x",
        "process_recording",
        "vibe-code/",
        "nosuch",
        "call/v2/generate/../../../config",
    ):
        yield Request("GET", f"/gradio_api/{path}")
    for path in ("call/v2/generate", "call/generate/abc", "queue/data?session_hash=abc"):  # events that nobody knows
        yield Request("GET", f"/gradio_api/{path}", status=(200,))
    for path in ("nosuch", "static/../../../../etc/passwd", "assets/..%2f..%2f..%2f..%2fetc/passwd", "x" * 5_000):
        yield Request("GET", f"/{path}")
    for path in ("pwa_icon", "pwa_icon/30000", "pwa_icon/-1", "monitoring", "monitoring/summary", "monitoring/key"):
        yield Request("GET", f"/{path}")
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "NOSUCH"):
        yield Request(method, "/gradio_api/call/v2/generate")
    two = json.dumps({"data": [1, 2]}).encode()
    other = json.dumps({"data": [1, 2], "fn_index": 9_999, "session_hash": "abc"}).encode()
    for path in (
        "run/nosuch",
        "run/predict",
        "call/nosuch",
        "queue/join",
        "api/nosuch",
        "cancel",
        "reset",
        "stream/abc",
    ):
        for body in (two, other, b"{}", b"[]", b"\xff"):
            yield Request("POST", f"/gradio_api/{path}", body, JSON)
    yield Request("POST", "/gradio_api/component_server", two, JSON)
    yield Request("POST", "/gradio_api/process_recording", form(b"x.mp4", b"#EXTM3U\n", b"video"), FORM)
    yield Request("POST", "/gradio_api/vibe-edit/", b'{"prompt": "import os"}', JSON)
    yield Request("POST", "/login", b"username=a&password=b", PLAIN_FORM, status=(302,))
    yield Request("POST", UPLOAD, b"abc")
    yield Request("POST", UPLOAD, b"abc", {"content-type": "multipart/form-data"})
    yield Request("POST", UPLOAD, b"abc", FORM)
    yield Request("POST", UPLOAD, form(b"x.png", b"abc")[:-20], FORM, status=(200, 400))
    yield Request("POST", UPLOAD, form(b"x" * 20_000, b"abc"), FORM)
    yield Request("POST", UPLOAD, form(b"x.png", bytes(65 << 20)), FORM, status=(413,))
    yield Request("POST", UPLOAD, iter([form(b"x.png", b"abc")]), FORM, status=(411,))
    yield Request("POST", "/gradio_api/call/v2/generate", iter([b'{"prompt":', b'"a woman"}']), JSON, status=(411,))


def upload_names() -> list[bytes]:
    """Names of uploads, each of which is either refused or made harmless."""
    return [
        b"../../../x.png",
        b"..\\..\\x.png",
        b"/etc/passwd",
        b"C:\\Windows\\win.ini",
        b"a\x00b.png",
        b"a\tb\x1b.png",
        b"x" * 300 + b".png",
        "\u202egnp.\U0001f469\u200d\U0001f680\u0301.png".encode(),
        "Bildschirmfoto um 3.04\u202fPM.png".encode(),
        b"\xff\xfe\xed\xa0\x80.png",
        b".",
        b"..",
        b"",
        b" ",
        b".lock",
        b"-rf.png",
        b"~",
        b"<script>alert(1)</script>.png",
        b"%2e%2e%2fx.png",
        b"a;b=c.png",
        b"$(touch x);`id`.png",
        b"record.json",
    ]
