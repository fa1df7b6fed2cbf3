"""The page's tools, called as assistants do: by the client of the `mcp` package, from a page that is really served.

Run: python -m pytest tests/space/mcp/test_mcp.py
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from mcp import types
from mcp_client import PATH, Told, call_in, call_tool, data_url, list_tools, session_with
from pages import EXAMPLES, process_at, serve
from raw_api import PLAIN, upload

from humo.media import kind_of, read_sound
from humo.space.jobs.limits import Limits
from humo.space.links.settings import read_settings
from humo.space.mcp.address import MAX_CALL
from humo.space.mcp.routes import mcp_routes

pytestmark = pytest.mark.slow

PROMPT = "a woman with red hair, in a blue shirt, talks"
QUICK: dict[str, Any] = {"prompt": PROMPT, "steps": 2, "seed": 3}
MODES = {"generate": {"prompt"}, "text_image": {"prompt", "image"}, "text_audio": {"prompt", "audio"}}
MODES |= {"text_image_audio": {"prompt", "image", "audio"}}
TOOLS = {*MODES, "dub", "speak", "read_text", "read_portrait"}
PICTURE = data_url((EXAMPLES / "woman.png").read_bytes(), "image/png")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's folder of temporary files."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("log"), settings={"GRADIO_TEMP_DIR": str(files)}) as address:
        yield address


@pytest.fixture(scope="module")
def spoken(server: str) -> str:
    """The address of half a second of speech or so."""
    return call_tool(server, "speak", text="Hello.", rate=200).data["file"]["url"]


def fetched(told: Told, folder: Path) -> Path:
    """The file that came back, fetched as anybody would."""
    file = told.data["file"]
    answer = httpx.get(file["url"], **PLAIN).raise_for_status()
    assert (len(answer.content), answer.headers["content-type"]) == (file["size"], file["mime_type"])
    assert file["url"] in told.text
    path = folder / "fetched"
    path.write_bytes(answer.content)
    return path


def test_the_tools_are_those_of_the_page_and_nothing_of_its_inside(server: str) -> None:
    tools = list_tools(server)
    assert set(tools) == TOOLS
    endpoints = httpx.get(f"{server}/gradio_api/info", **PLAIN).json()["named_endpoints"]
    for name, needed in MODES.items():
        assert set(tools[name].inputSchema["required"]) == needed
        offered = {each["parameter_name"] for each in endpoints[f"/{name}"]["parameters"]}
        assert offered - {"more_images"} == set(tools[name].inputSchema["properties"]), "mini takes one picture"


def test_the_schemas_say_what_is_allowed(server: str) -> None:
    for tool in list_tools(server).values():
        jsonschema.Draft202012Validator.check_schema(tool.inputSchema)
        assert tool.description and tool.title and tool.inputSchema["additionalProperties"] is False
        for name, schema in tool.inputSchema["properties"].items():
            assert schema["description"].endswith(".") and schema["type"], (tool.name, name)
            assert not ("default" in schema and name in tool.inputSchema["required"]), (tool.name, name)
            if "default" in schema:
                jsonschema.validate(schema["default"], schema)
    steps = list_tools(server)["generate"].inputSchema["properties"]["steps"]
    assert (steps["minimum"], steps["maximum"], steps["default"]) == (1, Limits().steps, 16)
    hints = {name: tool.annotations for name, tool in list_tools(server).items()}
    assert all(each is not None and each.openWorldHint is False for each in hints.values())
    assert {name for name, each in hints.items() if each and each.readOnlyHint} == {"read_text", "read_portrait"}


def test_what_lies_outside_of_a_range_is_refused(server: str) -> None:
    properties = list_tools(server)["generate"].inputSchema["properties"]
    for name, schema in properties.items():
        beyond = [schema["minimum"] - 1] if "minimum" in schema else []
        beyond += [schema["maximum"] + 1] if "maximum" in schema and name != "seed" else []
        beyond += [schema["exclusiveMinimum"]] if "exclusiveMinimum" in schema else []
        beyond += ["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else []
        beyond += [[]] if schema["type"] != "boolean" else ["yes"]
        for value in beyond:
            refusal = call_tool(server, "generate", **{**QUICK, "seconds": 0.2, name: value}).refusal
            assert name in refusal.lower() and refusal.endswith("."), (name, value, refusal)


@pytest.mark.parametrize("picture", [PICTURE, None])
def test_a_video_of_a_text_a_voice_and_a_picture_or_none(
    server: str, spoken: str, tmp_path: Path, picture: str | None
) -> None:
    told = call_tool(server, "generate", **QUICK, audio=spoken, **({} if picture is None else {"image": picture}))
    video = fetched(told, tmp_path)
    settings = read_settings(video)
    assert (settings.mode, settings.seed, kind_of(video)) == ("TA" if picture is None else "TIA", 3, "MP4")
    assert read_sound(video).duration == pytest.approx(told.data["seconds"], abs=0.1)
    assert told.data["settings"]["prompt"] == PROMPT and told.data["num_frames"] == settings.num_frames
    (link,) = [part for part in told.result.content if isinstance(part, types.ResourceLink)]
    assert (str(link.uri), link.mimeType, link.size) == (*told.data["file"].values(),)
    done = [step for step, _, _ in told.steps]
    assert done == sorted(set(done)) and (2.0, 2.0, "Step 2 of 2") in told.steps


def test_a_picture_is_the_same_by_any_way(server: str) -> None:
    path = upload(server, "woman.png", (EXAMPLES / "woman.png").read_bytes())["path"]
    ways = (PICTURE, path, f"{server}/gradio_api/file={path}", f"https://elsewhere.example/gradio_api/file={path}")
    told = [call_tool(server, "read_portrait", image=way) for way in ways]
    assert {each.text for each in told} == {told[0].text} and "woman" in told[0].text
    assert told[0].data["attributes"]["hair_colour"] == "red"


def test_what_came_with_a_call_goes_with_it(server: str, files: Path) -> None:
    call_tool(server, "read_portrait", image=PICTURE)
    assert list(files.rglob("call-*")) == []


def test_nothing_is_fetched_and_no_file_of_the_server_is_read(server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.0)
        elsewhere = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
        for given, words in (
            (elsewhere, "nothing is fetched here"),
            ("file:///etc/passwd", "nothing is fetched here"),
            ("/etc/passwd", "was not uploaded here"),
            (f"{server}/gradio_api/file=/etc/passwd", "was not uploaded here"),
            ("../../../../../../etc/passwd", "was not uploaded here"),
            (str(Path(__file__)), "was not uploaded here"),
            ("data:image/png,abc", "without base64"),
            ("data:image/png;base64,a", "damaged"),
            ("data:image/png;base64,", "of nothing"),
            ("", "give a data: URL"),
            (7, "give a data: URL"),
            ("a\0b", "give a file of yours"),
            ("x" * 600, "path"),
            (data_url(b"no picture", "image/png"), "has no picture inside"),
            (data_url((EXAMPLES / "woman.wav").read_bytes(), "image/png"), "icture"),
        ):
            for tool in ("text_image", "read_portrait"):
                others = {**QUICK, "seconds": 0.2} if tool == "text_image" else {}
                refusal = call_tool(server, tool, **others, image=given).refusal
                assert words in refusal and "root:" not in refusal and "Traceback" not in refusal, (given, refusal)
        with pytest.raises(BlockingIOError):
            listener.accept()
    peers = {each.raddr.ip for each in process_at(server).net_connections() if each.raddr}
    assert peers <= {"127.0.0.1"}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("no such", {}, "There is no tool 'no such'"),
        ("generate", {}, "Generate needs prompt: Who is seen"),
        ("generate", {"prompt": PROMPT, "promt": "a"}, "Generate has no argument 'promt'"),
        ("generate", {**QUICK, "guidance": {"rule": "no such"}}, "use one of published_17b"),
        ("generate", {**QUICK, "audio_shift": 40}, "there is no sound to shift"),
        ("text_image", {"prompt": PROMPT, "image": None}, "Text_image needs image"),
        ("speak", {"text": ""}, "The text is empty"),
        ("speak", {"text": "Hello.", "voice": "nobody"}, "choose one of"),
        ("speak", {"text": "Hello.", "rate": 1}, "choose a whole number from 80"),
        ("read_text", {"prompt": 7}, "give a text"),
        ("dub", {"clip": PICTURE, "audio": PICTURE, "hold": "yes"}, "give true or false"),
        ("dub", {"clip": PICTURE, "audio": PICTURE}, "ound audio"),
    ],
)
def test_a_mistake_is_one_sentence(server: str, name: str, given: dict[str, Any], words: str) -> None:
    refusal = call_tool(server, name, **given).refusal
    assert words in refusal and refusal.endswith(".") and "Traceback" not in refusal


def test_what_is_read_of_a_text_is_told(server: str) -> None:
    told = call_tool(server, "read_text", prompt="an elderly gentleman in a navy suit")
    assert told.data["reads"] == "a man with grey hair, in a blue shirt" and told.data["reads"] in told.text


def test_a_clip_is_dubbed(server: str, spoken: str, tmp_path: Path) -> None:
    clip = call_tool(server, "text_image", **QUICK, image=PICTURE, seconds=0.5).data["file"]["url"]
    told = call_tool(server, "dub", clip=clip, audio=spoken)
    assert kind_of(fetched(told, tmp_path)) == "MP4" and told.data["num_frames"] == 13


def test_two_callers_at_once_are_two_visitors(server: str) -> None:
    async def run() -> list[Told]:
        async with session_with(server) as first, session_with(server) as second:
            both = ((first, 1), (second, 2))
            asked = [call_in(each, "generate", **{**QUICK, "seed": seed}, seconds=1) for each, seed in both]
            return await asyncio.gather(*asked)

    assert [told.data["seed"] for told in asyncio.run(run())] == [1, 2]


def test_a_caller_that_goes_away_stops_its_video(server: str, files: Path) -> None:
    async def leave() -> None:
        async with session_with(server) as session:
            begun = asyncio.Event()
            asked = {**QUICK, "steps": 50, "seconds": 10}
            call = asyncio.create_task(call_in(session, "generate", begun.set, **asked))
            await begun.wait()
            call.cancel()

    before = len([*files.rglob("*.mp4")])
    asyncio.run(leave())
    assert call_tool(server, "generate", **QUICK, seconds=0.2).data["num_frames"] == 5  # in the same line, after it
    assert len([*files.rglob("*.mp4")]) == before + 1, "only the second was made"


def test_an_older_client_is_told_no_links(server: str) -> None:
    asked = {"name": "speak", "arguments": {"text": "Hello."}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked}
    accept = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-03-26"}
    answer = httpx.post(server + PATH, json=body, headers=accept, **PLAIN).raise_for_status()
    assert '"type":"text"' in answer.text and "resource_link" not in answer.text


def test_a_browser_is_told_what_this_is_and_others_that_there_is_no_more(server: str) -> None:
    page = httpx.get(server + PATH, headers={"accept": "text/html"}, **PLAIN)
    assert page.status_code == 200 and "MCP server" in page.text
    stream = httpx.get(server + PATH, headers={"accept": "text/event-stream"}, **PLAIN)
    assert (stream.status_code, httpx.delete(server + PATH, **PLAIN).status_code) == (405, 405)
    assert httpx.get(f"{server}/config", **PLAIN).json()["mcp_server"] is True


def test_a_file_larger_than_a_call_is_uploaded(server: str) -> None:
    content = b" " * (MAX_CALL + 1)
    answer = httpx.post(server + PATH, content=content, headers={"content-type": "application/json"}, **PLAIN)
    assert answer.status_code == 413 and "at most 16 MiB" in answer.json()["detail"]


def test_without_the_package_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody: Any = None  # it is not looked at yet
    assert len(mcp_routes(nobody)) == 2
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert mcp_routes(nobody) == []
