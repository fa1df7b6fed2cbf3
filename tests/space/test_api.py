"""The page's functions for programs, called as programs do.

Run: python -m pytest tests/space/test_api.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from javascript_client import call_by_javascript
from pages import EXAMPLES, serve
from playwright.sync_api import Browser
from raw_api import PLAIN, TIMEOUT, call, upload

from humo.media import read_sound
from humo.space.links.settings import read_settings

pytestmark = pytest.mark.slow

PROMPT = "a woman with red hair, in a blue shirt, talks"
QUICK = {"prompt": PROMPT, "steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that is also asked for files and addresses that are none of ours."""
    with serve(tmp_path_factory.mktemp("log"), is_attacked=True) as address:
        yield address


@pytest.fixture(scope="module")
def client(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    downloads = str(tmp_path_factory.mktemp("downloads"))
    client = Client(
        server, verbose=False, download_files=downloads, analytics_enabled=False, httpx_kwargs={"timeout": TIMEOUT}
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of the bundled voice."""
    import soundfile

    samples, rate = soundfile.read(EXAMPLES / "woman.wav")
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, samples[: rate // 2], rate)
    return path


def _path(video: Any) -> Path:
    return Path(video["video"] if isinstance(video, dict) and "video" in video else video)


def test_every_mode_has_an_endpoint_with_types(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/text_image", "/text_audio", "/text_image_audio", "/generate"}
    parameters = {each["parameter_name"]: each for each in endpoints["/generate"]["parameters"]}
    assert parameters["prompt"]["parameter_has_default"] is False
    assert all(parameters[name]["parameter_has_default"] for name in ("image", "audio", "seed", "steps", "guidance"))


def test_text_and_image(client: Client) -> None:
    video, told = client.predict(
        **QUICK, image=handle_file(EXAMPLES / "woman.png"), seconds=0.2, api_name="/text_image"
    )
    settings = read_settings(_path(video))
    assert (settings.mode, settings.seed, settings.num_frames) == ("TI", 3, 5)
    assert told["prompt"] == PROMPT and told["num_inference_steps"] == 2


def test_text_and_audio_and_all_three(client: Client, voice: Path) -> None:
    for name, files in (
        ("/text_audio", {"audio": handle_file(voice)}),
        ("/text_image_audio", {"audio": handle_file(voice), "image": handle_file(EXAMPLES / "woman.png")}),
    ):
        video, told = client.predict(**QUICK, **files, api_name=name)
        assert told["mode"] == name.removeprefix("/").replace("text", "T").replace("_image", "I").replace("_audio", "A")
        assert read_sound(_path(video)).duration == pytest.approx(told["num_frames"] / 25, abs=0.1)


def test_files_may_be_left_out(client: Client) -> None:
    _, told = client.predict(**QUICK, seconds=0.2, guidance={"rule": "constant", "text": 2.0}, api_name="/generate")
    assert told["mode"] == "T" and told["guidance"]["rule"] == "constant"


def test_steps_are_told_on_the_way(client: Client) -> None:
    job = client.submit(**QUICK, seconds=0.2, api_name="/generate")
    job.result(timeout=300)
    phases = [told.get("phase") for _, told in job.outputs()[:-1]]
    assert "denoising" in phases or "finishing" in phases


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "a" * 2_001}, "2,001 characters"),
        ({"prompt": 5}, "prompt"),
        ({"steps": 0}, "steps"),
        ({"steps": 100_000}, "steps"),
        ({"seconds": 1e9}, "seconds"),
        ({"seed": -1}, "seed"),
        ({"guidance": {"rule": "no such rule"}}, "rule"),
        ({"guidance": {"rule": "constant", "text": 1e9}}, "text"),
    ],
)
def test_what_is_not_allowed_is_a_sentence(client: Client, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**{**QUICK, "seconds": 0.2, **wrong}, api_name="/generate")
    assert words.lower() in str(caught.value).lower()
    assert "/home" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_a_program_without_our_client_gets_its_video(server: str) -> None:
    image = upload(server, "woman.png", (EXAMPLES / "woman.png").read_bytes())
    answer = call(server, "text_image", {**QUICK, "image": image, "seconds": 0.2})
    assert (answer.status, answer.event) == (200, "complete"), answer
    video, told = answer.data[0]
    assert told["mode"] == "TI" and video["mime_type"] == "video/mp4" and video["orig_name"] == "humo.mp4"
    assert httpx.get(video["url"], **PLAIN).content == Path(video["path"]).read_bytes()


def test_values_may_be_given_in_their_order_but_all_of_them(server: str) -> None:
    answer = call(server, "generate", [PROMPT, None, None, 0.2, 3, 2, None, False, 0, None])
    assert answer.event == "complete" and answer.data[0][0]["url"].startswith(f"{server}/gradio_api/file="), answer
    answer = call(server, "generate", [PROMPT, None, None, 0.2, 3, 2])
    assert answer.event == "error" and answer.data["error"] == (
        "6 values are given and 10 are asked for: give them all, null for what is left out, or by their names to "
        "/gradio_api/call/v2."
    )


def test_a_program_in_javascript_gets_its_video(server: str, browser: Browser) -> None:
    got = call_by_javascript(browser, server, "/text_image", {**QUICK, "seconds": 0.2}, EXAMPLES / "woman.png")
    assert got["video"]["url"].startswith(f"{server}/gradio_api/file=") and got["told"]["mode"] == "TI"
    assert (got["status"], got["type"], got["size"]) == (200, "video/mp4", got["video"]["size"])


PLACES = ["/etc/passwd", "../../../../../../etc/passwd", "http://127.0.0.1:1/x.png", "http://169.254.169.254/", 7, {}]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", ["path", "url"])
def test_files_of_the_server_and_private_addresses_are_refused(server: str, key: str, place: Any) -> None:
    # Without gradio_client, which would upload this computer's own file under that name.
    hostile = {key: place, "meta": {"_type": "gradio.FileData"}}
    answer = call(server, "text_image", {**QUICK, "image": hostile, "seconds": 0.2})
    assert answer.event == "error" or answer.status in (400, 422), answer
    assert "root:" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize("kind", ["torn.png", "drawing.svg", "empty.png", "sound.png"])
def test_bad_pictures_are_sentences(client: Client, tmp_path: Path, kind: str) -> None:
    contents = {"torn.png": b"\x89PNG\r\n\x1a\n" + bytes(80), "drawing.svg": b"<svg/>", "empty.png": b""}
    (tmp_path / kind).write_bytes(contents.get(kind) or (EXAMPLES / "woman.wav").read_bytes() * (kind == "sound.png"))
    with pytest.raises(AppError, match=r"[Pp]icture|empty"):
        client.predict(**QUICK, image=handle_file(tmp_path / kind), seconds=0.2, api_name="/text_image")
