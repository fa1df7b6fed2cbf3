"""Hostile values: texts, numbers, guidance, places of files, and bodies that are no requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from corpus import Case

FILE = {"_type": "gradio.FileData"}
PLACE = (
    r"^A file given here was not uploaded here|^An address is given where a file is asked for|"
    r"^Image is no uploaded file|^Picture \S{0,60} ?was not uploaded here|^Picture is PosixPath|^The picture's path "
)
LACKS = r"^The request lacks a value, or has one too many"
NO_JSON = r"^The request is no JSON object|^There was an error parsing the body"
NOTHING = r"^There is nothing at this address|^This address takes no such request"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _texts()
    yield from _numbers()
    yield from _guidance()
    yield from _places()
    yield from _requests()


def _value(name: str, value: Any, says: str | None, **others: Any) -> Case:
    told = "a huge number" if isinstance(value, int) and value > 10**50 else repr(value)
    told = told if len(told) <= 60 else f"{told[:60]}... of {len(told)}"
    return Case(name=f"{name} = {told}", says=says, values={name: value, **others})


def _texts() -> Iterator[Case]:
    for value in ("", " ", "\n\t\r\v\f", "\u00a0\u2003\u3000"):
        yield _value("prompt", value, r"^Prompt is empty")
    for letters in (2_001, 100_000):
        yield _value("prompt", "a" * letters, rf"^Prompt has {letters:,} characters")
    yield _value("prompt", "\N{PILE OF POO}" * 2_001, r"^Prompt has 2,001 characters")
    for value in (None, 5, 1.5, True, [], ["a woman"], {}, {"text": "a"}):
        yield _value("prompt", value, r"^Prompt is .*: it must be text")
    for value in ("a \ud800", "\udfff", "\ud83d a \ude00"):
        yield _value("prompt", value, r"^Prompt holds half a letter")
    for value in (
        "a\x00b\x01\x02\x1b[31m\x7f\x9f",
        "\u202e\u05d0\u05d9\u05e9\u05d4 \u200f\u2066",
        "\N{PILE OF POO}\U0001f469\u200d\U0001f680\U0010ffff",
        "<script>alert(1)</script><img src=x onerror=alert(1)> '; DROP TABLE videos; -- {{7*7}} ${7*7} %s%n",
        "Z\u0351\u0348" + "\u0300" * 1_000,
        "a" * 2_000,
    ):
        yield _value("prompt", value, None)


def _numbers() -> Iterator[Case]:
    junk = (0, -1, 51, 10**30, 1.5, True, False, "1", "", "one", [], [1], {}, {"a": 1}, "NaN")
    for value in junk:
        if value != "":
            yield _value("steps", value, r"^Steps is .*: choose a whole number from 1 to 50")
    for value in (0, -1, 11, 1e9, 10**400, True, "1", [], [0.2], {}, "Infinity"):
        yield _value("seconds", value, r"^Seconds is .*: choose a number above 0, up to 10\.1")
    for value in (-1, 2**63, 10**100, 0.5, True, "7", [], [7], {}):
        yield _value("seed", value, r"^Seed is .*: choose a whole number from 0")
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999"):
        for name, says in (("steps", r"^Steps is"), ("seconds", r"^Seconds is"), ("seed", r"^Seed is")):
            body = f'{{"prompt": "a woman", "{name}": {number}}}'.encode()
            yield Case(name=f"{name} = {number} in JSON", says=says, body=body)
    yield _value("seed", 2**63 - 1, None)
    yield _value("seconds", 1e-300, None)


def _guidance() -> Iterator[Case]:
    for value in (1, True, "paper", [], [1], ["rule", "paper"]):
        yield _value("guidance", value, r"^Guidance is no JSON object")
    for value in (
        {"rule": "no such rule"},
        {"rule": None},
        {"rule": 5},
        {"rule": ["paper"]},
        {"rule": "__class__"},
        {"rule": "a" * 10_000},
        {"text": 2.0},
        {"rule": "paper", "text": "2"},
        {"rule": "paper", "text": None},
        {"rule": "paper", "text": True},
        {"rule": "paper", "text": 1e9},
        {"rule": "paper", "text": -101},
        {"rule": "paper", "text": 10**400},
        {"rule": "paper", "no such scale": 1.0},
        {"rule": "paper", "a" * 5_000: 1.0},
        {"rule": "paper", "self": 1.0},
        {"rule": "paper", "__init__": 1.0},
        {"rule": "paper", "early": "abc"},
        {"rule": "paper", "early": [1.0]},
        {"rule": "paper", "early": [1.0] * 10_000},
        {"rule": "paper", "early": [None] * 3},
        {"rule": "paper", "switch": -5},
        {"rule": "paper", "switch": "980"},
        {"rule": "paper", "until": 1001},
        {"rule": "constant", "until": None},
        {"rule": "constant", "text": {"ramp": "no such ramp", "early": 1.0, "late": 2.0}},
        {"rule": "constant", "text": {"ramp": "linear"}},
        {"rule": "constant", "text": {"ramp": {"ramp": "linear"}, "early": 1.0, "late": 2.0}},
        {"rule": "constant", "text": {}},
        {"rule": "constant", "text": {"ramp": "linear", "early": 1.0, "late": 2.0, "other": 1.0}},
    ):
        yield _value("guidance", value, r"[Gg]uidance|rule|ramp|scale")
    wide = {"rule": "paper", **{f"scale {number}": 1.0 for number in range(20_000)}}
    yield _value("guidance", wide, r"[Gg]uidance|rule|scale")
    for depth in (100, 900, 5_000, 100_000):
        nested = b'{"prompt": "a woman", "guidance": {"rule": "paper", "text": %s1%s}}' % (b"[" * depth, b"]" * depth)
        yield Case(
            name=f"guidance, {depth} deep", says=rf"^Guidance text is \[\[\[.*: it must be|{NO_JSON}", body=nested
        )
        nested = b'{"prompt": "a woman", "image": %s1%s}' % (b'{"path":' * depth, b"}" * depth)
        yield Case(name=f"image, {depth} deep", says=rf"^Image is no uploaded|^A file given|{NO_JSON}", body=nested)
    own = {"rule": "published_17b", "text": 100.0, "image": -100.0, "audio": 100.0}
    yield _value("guidance", {key: own[key] for key in ("rule", "text", "audio")}, None)


def _places() -> Iterator[Case]:
    for place in (
        "/etc/passwd",
        "/etc/shadow",
        "/proc/self/environ",
        "/proc/self/mem",
        "/dev/zero",
        "/dev/stdin",
        "/",
        "",
        ".",
        "..",
        "app.py",
        "server.txt",
        "records",
        "../../../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "~/.bashrc",
        "/tmp/../etc/passwd",
        "C:\\Windows\\win.ini",
        "\\\\server\\share\\x.png",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x.png",
        "HTTPS://localhost/x.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x.png",
        "http://0x7f000001/x.png",
        "ftp://127.0.0.1/x.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "a\x00b.png",
        "x" * 5_000,
        "\ud800.png",
    ):
        given = {"path": place, "meta": FILE}
        yield Case(name=f"image at {place[:40]!r}", says=PLACE, values={"image": given})
    for place in (
        "/etc/passwd",
        "",
        "..",
        "app.py",
        "~/.bashrc",
        "http://127.0.0.1:1/x.png",
        "a\x00b",
        "x" * 5_000,
        "\ud800",
    ):
        # without its type, by which gradio knows a file and looks at it
        yield Case(name=f"image at {place[:40]!r}, untold", says=PLACE, values={"image": {"path": place}})
    for image in ("/etc/passwd", 5, True, [], [{"path": "/etc/passwd", "meta": FILE}], {"url": "http://127.0.0.1/"}):
        yield Case(name=f"image = {image!r}"[:60], says=rf"{PLACE}|must be|is no", values={"image": image})
    for place in ("/etc/passwd", "http://169.254.169.254/"):
        sound = {"path": place, "meta": FILE}
        yield Case(name=f"audio at {place}", says=PLACE, endpoint="text_audio", values={"audio": sound, "seconds": ...})


def _requests() -> Iterator[Case]:
    for name, body, says in (
        ("nothing", b"", NO_JSON),
        ("half an object", b'{"prompt": "a', NO_JSON),
        ("a list", b'["a woman"]', NO_JSON),
        ("a text", b'"a woman"', NO_JSON),
        ("null", b"null", NO_JSON),
        ("no UTF-8", b'{"prompt": "\xff\xfe"}', NO_JSON),
        ("UTF-16", '{"prompt": ""}'.encode("utf-16"), r"^Prompt is empty"),
        ("a form", b"prompt=a+woman&steps=1", NO_JSON),
        ("XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', NO_JSON),
        ("noise", bytes(range(256)), NO_JSON),
        ("an empty object", b"{}", LACKS),
        ("no prompt", b'{"steps": 1}', LACKS),
        ("a value too many", b'{"prompt": "a woman", "path": "/etc/passwd"}', LACKS),
        ("Python's own names", b'{"prompt": "a woman", "self": 1, "request": {"client": 1}}', LACKS),
        ("2 MiB", b'{"prompt": "%s"}' % (b"a" * (2 << 20)), r"^The request is too large: at most 1 MiB"),
        ("1,000,000 letters", b'{"prompt": "%s"}' % (b"a" * 1_000_000), r"^Prompt has 1,000,000 characters"),
        ("a number of 5,000 digits", b'{"prompt": "a woman", "seed": %s}' % (b"9" * 5_000), NO_JSON),
        ("80,000 keys", b'{"prompt": "a", %s "steps": 1}' % b"".join(b'"%d":1,' % n for n in range(80_000)), LACKS),
    ):
        yield Case(name=f"a request of {name}", says=says, body=body)
    for endpoint in ("nosuch", "predict", "generate%00", "..%2fgenerate", "GENERATE", "x" * 3_000):
        yield Case(name=f"endpoint {endpoint[:20]}", says=NOTHING, endpoint=endpoint)
    for endpoint, says in (
        ("text_image", r"^The request lacks a value|^Text \+ Image needs a picture"),
        ("text_audio", LACKS),
        ("text_image_audio", LACKS),
    ):
        yield Case(name=f"{endpoint} without its files", says=says, endpoint=endpoint)
    nothing = {"image": None, "audio": None, "seconds": ...}
    yield Case(name="all three, two of them null", says=r"needs a picture", endpoint="text_image_audio", values=nothing)
