"""A Hub of our own on this computer: as much of its HTTP calls as a deployment makes, Xet storage among them.

What huggingface_hub 2.4.0 and hf_xet 1.8.0 ask was read off their requests. Weights go to Xet in its first version,
which the client falls back to where the later one is unknown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a" * 34
OWNER = "anna"


@dataclass
class Space:
    """A Space as the server knows it."""

    hardware: str
    visibility: str = "public"
    files: dict[str, str] = field(default_factory=lambda: {".gitattributes": "0" * 40})
    """Path: object id, SHA-1 of a git blob or SHA-256 of a large file."""
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    volumes: list[dict] | None = None
    sleep_time: int | None = None
    sha: str = "0" * 40
    num_commits: int = 0
    stages: list[str] = field(default_factory=lambda: ["NO_APP_FILE"])
    """What it goes through after a commit, one a look; the last one stays."""


@dataclass
class State:
    """What the server holds, and how it is to behave."""

    spaces: dict[str, Space] = field(default_factory=dict)
    buckets: dict[str, dict] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    refusals: list[tuple[str, int, str]] = field(default_factory=list)
    """(pattern of "METHOD path body", status, words): the first that matches answers."""
    once: list[tuple[str, int, str]] = field(default_factory=list)
    """The same, each for one request."""
    breaks: list[str] = field(default_factory=list)
    """Patterns of requests at which the connection is closed without an answer, each once."""
    stages: list[str] = field(default_factory=lambda: ["BUILDING", "APP_STARTING", "RUNNING"])
    """Of a Space after a commit."""
    tells_sha: bool = True
    """Whether the runtime says which commit it runs."""
    error: str | None = None
    """Of a Space that does not run."""
    log: list[str] = field(default_factory=list)
    health: list[int | None] = field(default_factory=lambda: [200])
    """Answers of the app, one a request; the last one stays, None is no answer."""
    gate: threading.Event = field(default_factory=threading.Event)
    """Until it is set no large file is taken."""
    end: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends, for requests that are never answered."""
    has_upload_begun: threading.Event = field(default_factory=threading.Event)
    authorization: list[str | None] = field(default_factory=list)
    """Header of every request to the app."""


class Hub(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    state: State

    def answer(self) -> None:
        """Find the call that a request means, and make it."""
        body, path = self._read(), unquote(urlsplit(self.path).path)
        self.state.asked.append((self.command, path))
        asked = f"{self.command} {path} {body[:2000].decode(errors='replace')}"
        for pattern in self.state.breaks:
            if re.search(pattern, asked):
                self.state.breaks.remove(pattern)
                self.close_connection = True
                return self.connection.close()
        for refusal in (*self.state.once, *self.state.refusals):
            pattern, status, words = refusal
            if re.search(pattern, asked):
                self.state.once = [other for other in self.state.once if other is not refusal]
                return self.send({"error": words}, status, **({"X-Error-Code": words} if status == 404 else {}))
        is_of_hub = path.startswith("/api/")
        if is_of_hub and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send({"error": "Invalid user token."}, 401)
        for pattern, call in CALLS.items():
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                return call(self, *match.groups(), *([body] if self.command in ("POST", "PUT") else []))
        return self.send({"error": "Not found"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(self, content: Any, status: int = 200, **headers: str) -> None:
        """Send an answer as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def address(self) -> str:
        """Of this server."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def whoami(self) -> None:
        """The account."""
        self.send({"type": "user", "name": OWNER, "auth": {"type": "access_token"}})

    def validate(self, body: bytes) -> None:
        """A README's front matter."""
        self.send({"errors": [], "warnings": []})

    def create(self, body: bytes) -> None:
        """A Space."""
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.state.spaces:
            return self.send({"error": "You already created this space repo"}, 409)
        space = Space(hardware=asked["hardware"], visibility=asked["visibility"])
        space.sleep_time = asked.get("sleepTimeSeconds")
        self.state.spaces[name] = space
        return self.send({"url": f"{self.address}/spaces/{name}", "name": name})

    def info(self, name: str) -> None:
        """What is known of a Space."""
        if name not in self.state.spaces:
            return self.send({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        space = self.state.spaces[name]
        return self.send(
            {
                "id": name,
                "sha": space.sha,
                "private": space.visibility == "private",
                "host": f"{self.address}/app",
                "subdomain": name.replace("/", "-"),
            }
        )

    def runtime(self, name: str) -> None:
        """The stage of a Space; every look brings it on."""
        space = self.state.spaces[name]
        stage = space.stages[0]
        if len(space.stages) > 1:
            space.stages.pop(0)
        answer: dict[str, Any] = {
            "stage": stage,
            "hardware": {"current": space.hardware if stage == "RUNNING" else None, "requested": space.hardware},
            "gcTimeout": space.sleep_time,
        }
        if space.volumes is not None:
            answer["volumes"] = space.volumes
        if self.state.tells_sha:
            answer["sha"] = space.sha
        if self.state.error and stage.endswith("ERROR"):
            answer["errorMessage"] = self.state.error
        self.send(answer)

    def hardware(self, name: str, body: bytes) -> None:
        """Move a Space."""
        asked = json.loads(body)
        self.state.spaces[name].hardware = asked["flavor"]
        self.state.spaces[name].sleep_time = asked.get("sleepTimeSeconds")
        self.runtime(name)

    def restart(self, name: str, body: bytes) -> None:
        """Start a Space that rests."""
        self.state.spaces[name].stages = ["APP_STARTING", "RUNNING"]
        self.runtime(name)

    def volumes(self, name: str, body: bytes) -> None:
        """Mount volumes."""
        self.state.spaces[name].volumes = json.loads(body)["volumes"]
        self.send({})

    def variables(self, name: str, body: bytes | None = None) -> None:
        """Set or list variables."""
        known = self.state.spaces[name].variables
        if body is not None:
            asked = json.loads(body)
            known[asked["key"]] = asked["value"]
        self.send({key: {"value": value} for key, value in known.items()})

    def secrets(self, name: str, body: bytes | None = None) -> None:
        """Set or list secrets, without what they hold."""
        known = self.state.spaces[name].secrets
        if body is not None:
            asked = json.loads(body)
            known[asked["key"]] = asked["value"]
        self.send({key: {} for key in known})

    def bucket(self, name: str, body: bytes) -> None:
        """Make a bucket."""
        if name in self.state.buckets:
            return self.send({"error": "exists", "url": f"{self.address}/buckets/{name}"}, 409)
        self.state.buckets[name] = json.loads(body)
        return self.send({"url": f"{self.address}/buckets/{name}"})

    def tree(self, name: str) -> None:
        """List the files."""
        files = self.state.spaces[name].files
        self.send([{"type": "file", "path": path, "size": 1, "oid": oid} for path, oid in files.items()])

    def preupload(self, name: str, body: bytes) -> None:
        """Say how each file is to be sent, and which of them is there."""
        known = self.state.spaces[name].files
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith((".safetensors", ".png", ".webp", ".wav")) else "regular",
                "shouldIgnore": False,
                "oid": known.get(each["path"]),
            }
            for each in json.loads(body)["files"]
        ]
        self.send({"files": files})

    def xet_token(self) -> None:
        """Where large files go."""
        self.send({"casUrl": f"{self.address}/cas", "exp": int(time.time()) + 3600, "accessToken": "xet"})

    def xet_chunk(self) -> None:
        """No part of a large file is known."""
        self.send({}, 404)

    def xet_block(self, body: bytes) -> None:
        """Take a part of a large file."""
        self.state.has_upload_begun.set()
        self.state.gate.wait(300)
        self.send({"was_inserted": True})

    def xet_shard(self, body: bytes) -> None:
        """Take the list of a large file's parts."""
        self.send({"result": 1})

    def commit(self, name: str, body: bytes) -> None:
        """Add and delete files."""
        space = self.state.spaces[name]
        for line in body.splitlines()[1:]:
            key, value = (entry := json.loads(line))["key"], entry["value"]
            if key == "deletedFile":
                del space.files[value["path"]]
            elif key == "lfsFile":
                space.files[value["path"]] = value["oid"]
            else:
                content = base64.b64decode(value["content"])
                space.files[value["path"]] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        space.sha, space.num_commits = hashlib.sha1(body).hexdigest(), space.num_commits + 1
        space.stages = list(self.state.stages)
        url = f"{self.address}/spaces/{name}/commit/{space.sha}"
        self.send({"success": True, "commitOid": space.sha, "commitUrl": url, "hookOutput": ""})

    def logs(self, name: str) -> None:
        """The end of a log, as events."""
        events = [
            f"data: {json.dumps({'data': line, 'timestamp': '2026-01-01T00:00:00Z'})}\n\n" for line in self.state.log
        ]
        self.send("".join(events).encode(), **{"Content-Type": "text/event-stream"})

    def app(self) -> None:
        """The running app itself."""
        self.state.authorization.append(self.headers.get("Authorization"))
        status = self.state.health[0]
        if len(self.state.health) > 1:
            self.state.health.pop(0)
        if status is None:
            self.state.end.wait(300)
            self.close_connection = True
            return None
        return self.send({}, status)


_SPACE = "/api/spaces/([^/]+/[^/]+)"
CALLS: dict[str, Callable[..., None]] = {
    "GET /api/whoami-v2": Hub.whoami,
    "POST /api/validate-yaml": Hub.validate,
    "POST /api/repos/create": Hub.create,
    f"GET {_SPACE}(?:/revision/main)?": Hub.info,
    f"GET {_SPACE}/runtime": Hub.runtime,
    f"POST {_SPACE}/hardware": Hub.hardware,
    f"POST {_SPACE}/restart": Hub.restart,
    f"PUT {_SPACE}/volumes": Hub.volumes,
    f"(?:GET|POST) {_SPACE}/variables": Hub.variables,
    f"(?:GET|POST) {_SPACE}/secrets": Hub.secrets,
    "POST /api/buckets/([^/]+/[^/]+)": Hub.bucket,
    f"GET {_SPACE}/tree/main": Hub.tree,
    f"POST {_SPACE}/preupload/main": Hub.preupload,
    r"GET /api/spaces/[^/]+/[^/]+/xet-write-token/main": Hub.xet_token,
    "GET /cas/v1/chunks/.*": Hub.xet_chunk,
    "POST /cas/v1/xorbs/.*": Hub.xet_block,
    "POST /cas/v1/shards": Hub.xet_shard,
    f"POST {_SPACE}/commit/main": Hub.commit,
    f"GET {_SPACE}/logs/(?:build|run)": Hub.logs,
    "GET /app/config": Hub.app,
}
"""Method and path: what answers; groups of the pattern and the body, where there is one, are its arguments."""


class HubServer:
    """Serves until it is left; its `state` may be looked at and changed at any time."""

    def __enter__(self) -> HubServer:
        self.state = State()
        self.state.gate.set()
        handler = type("Handler", (Hub,), {"state": self.state})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.state.gate.set()
        self.state.end.set()
        self._server.shutdown()
        self._server.server_close()

    def asked(self, pattern: str) -> list[str]:
        """Requests, as "METHOD path", that match."""
        return [f"{method} {path}" for method, path in self.state.asked if re.search(pattern, f"{method} {path}")]
