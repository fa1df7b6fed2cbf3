"""Where the published files come from: folders, the Hub (one of our own, on this computer), and no network at all."""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import layout
import pytest
import torch

import humo
from humo.__main__ import main
from humo.loading.published.conversion import convert, converted_folder
from humo.loading.published.presets import PRESETS, Preset, get_preset
from humo.loading.published.sources import check_download, download, find_downloaded, find_sources, gigabytes

NOWHERE = "http://127.0.0.1:9"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's protocol as a download needs: the list of files, and the files."""

    root: Path
    asked: list[str]
    gate: threading.Event
    """Until it is set no file is sent."""
    broken: str
    """Beginning of the paths at which the connection breaks in the middle of a file, or a list cannot be read; "" for
    none."""

    def do_GET(self) -> None:
        """Answer with a list or a file."""
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        self.answer(with_body=False)

    def answer(self, with_body: bool) -> None:
        """Read `/api/models/OWNER/NAME/tree/REVISION` or `/OWNER/NAME/resolve/REVISION/PATH`."""
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/api/models/[^/]+/([^/]+)/tree/(\w+).*", path):
            files = [file for file in (self.root / match[1]).rglob("*") if file.is_file()]
            entries = [
                {
                    "type": "file",
                    "path": str(file.relative_to(self.root / match[1])),
                    "size": file.stat().st_size,
                    "oid": f"{abs(hash(file)):040x}",
                }
                for file in files
            ]
            headers = {"Content-Type": "application/json"}
            if self.broken and path.startswith(self.broken):
                headers["Content-Encoding"] = "gzip"  # which it is not
            return self.send(json.dumps(entries).encode(), headers, with_body)
        match = re.fullmatch(r"/[^/]+/([^/]+)/resolve/(\w+)/(.+)", path)
        file = self.root / match[1] / match[3] if match else self.root / "absent"
        if not file.is_file():
            return self.send_error(404)
        if with_body:
            self.asked.append(match[3])
            self.gate.wait(300)
        headers = {"ETag": f'"{abs(hash(file)):040x}"', "X-Repo-Commit": match[2], "Accept-Ranges": "bytes"}
        self.send(file.read_bytes(), headers, with_body)

    def send(self, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        """Send an answer."""
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and self.broken and self.path.startswith(self.broken) and "/resolve/" in self.path:
            self.wfile.write(body[: len(body) // 2])
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()  # at once, which the other side reads as "connection reset"
        elif with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published layout of both forms."""
    return {preset: layout.write(tmp_path_factory.mktemp(preset), preset) for preset in PRESETS}


@pytest.fixture(params=["1.7B", "17B"])
def name(request: pytest.FixtureRequest) -> str:
    """Name of a preset."""
    return request.param


@pytest.fixture
def hub(originals: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a Hub with the tiny files of a preset, on this computer, so that it may be asked offline too."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    Hub.root, Hub.asked, Hub.broken, Hub.gate = originals[name], [], "", threading.Event()
    Hub.gate.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def tiny_preset(name: str, weights: Path) -> Preset:
    """A preset with the files and sizes of the tiny layout."""

    def sizes(repository) -> dict[str, int]:
        place = weights / repository.folder
        files = {str(f.relative_to(place)): f.stat().st_size for f in place.rglob("*") if f.is_file()}
        is_shard = re.compile(r"HuMo-17B/humo-.*")
        return {path: size for path, size in files.items() if not is_shard.match(path)}

    preset = get_preset(name)
    return replace(preset, repositories=tuple(replace(r, files=sizes(r)) for r in preset.repositories))


def test_the_pins_and_sizes_are_stated() -> None:
    for preset in PRESETS.values():
        assert all(re.fullmatch(r"[0-9a-f]{40}", repository.revision) for repository in preset.repositories)
        assert all(size > 0 for repository in preset.repositories for size in repository.files.values())
    assert gigabytes(PRESETS["1.7B"].num_bytes) == "33.4 GB"
    assert gigabytes(PRESETS["17B"].num_bytes) == "60.5 GB"
    assert gigabytes(sum(PRESETS["1.7B"].repositories[1].files.values())) == "23.3 GB"
    assert [gigabytes(size) for size in (854, 22_476, 99_950_000, 140e9)] == [
        "854 bytes",
        "22.5 kB",
        "100.0 MB",
        "140 GB",
    ]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_stated_parameters_are_those_of_the_model(preset: str) -> None:
    form = {} if preset == "1.7B" else dict(num_attention_heads=40, in_channels=36, ffn_dim=13824, num_layers=40)
    with torch.device("meta"):
        model = humo.HuMoTransformer3DModel(**form)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == get_preset(preset).num_parameters["transformer"]
    assert len(model.state_dict()) == {"1.7B": 1193, "17B": 1583}[preset]


def test_a_folder_in_the_published_layout_is_a_source(originals: dict[str, Path], name: str) -> None:
    sources = find_sources(get_preset(name), originals[name])
    assert sources.transformer == originals[name] / layout.CHECKPOINT[name]
    assert (sources.wan / "vae").is_dir() and (sources.whisper / "config.json").is_file()


def test_what_a_folder_lacks_is_told_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "weights" / "Wan2.1-T2V-1.3B").mkdir(parents=True)
    with pytest.raises(ValueError) as told:
        find_sources(get_preset("1.7B"), tmp_path / "weights")
    assert str(told.value) == (
        "weights lacks HuMo/HuMo-1.7B/ema.pth (7.0 GB), Wan2.1-T2V-1.3B-Diffusers/text_encoder/ (22.7 GB), "
        "Wan2.1-T2V-1.3B-Diffusers/tokenizer/ (21.5 MB), Wan2.1-T2V-1.3B-Diffusers/vae/ (508 MB), "
        "whisper-large-v3/config.json (1.3 kB), whisper-large-v3/preprocessor_config.json (340 bytes), "
        "whisper-large-v3/model.safetensors (3.1 GB), 33.4 GB in all (Wan2.1-T2V-1.3B holds the original form; "
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers is wanted): download them there from bytedance-research/HuMo, "
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers, openai/whisper-large-v3."
    )
    with pytest.raises(ValueError, match=r"There is no folder 'nothing': give the one that holds HuMo/HuMo-17B/humo"):
        find_sources(get_preset("17B"), tmp_path / "nothing")


def test_a_missing_shard_is_told(tmp_path: Path) -> None:
    weights = layout.write(tmp_path, "17B")
    (weights / "HuMo/HuMo-17B/humo-00002-of-00003.safetensors").unlink()
    with pytest.raises(ValueError, match=r"^weights lacks HuMo/HuMo-17B/humo-00002-of-00003.safetensors: download"):
        find_sources(get_preset("17B"), weights)
    (weights / "HuMo/HuMo-17B/humo.safetensors.index.json").unlink()
    with pytest.raises(ValueError, match=r"index.json \(200 kB\), HuMo/HuMo-17B/humo\*.safetensors \(34.1 GB\)"):
        find_sources(get_preset("17B"), weights)


@pytest.mark.slow
def test_the_hub_is_asked_downloaded_from_and_converted(
    originals: dict[str, Path], name: str, hub: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    preset, cache = tiny_preset(name, originals[name]), tmp_path / "cache"
    wanted = {str(f.relative_to(originals[name])): f for f in originals[name].rglob("*") if f.is_file()}
    size = sum(file.stat().st_size for file in wanted.values())
    assert find_downloaded(preset, cache) is None
    assert check_download(preset, cache, hub) == size
    assert not Hub.asked
    with caplog.at_level(logging.WARNING):
        sources = download(preset, cache, hub)
    assert f"Downloading the published {name}: {gigabytes(size)} from bytedance-research/HuMo" in caplog.text
    assert len(Hub.asked) == len(wanted)
    assert find_downloaded(preset, cache) == sources

    vae = sources.wan / "vae" / "diffusion_pytorch_model.safetensors"
    vae_size = vae.stat().st_size
    vae.resolve().unlink()
    vae.unlink()
    Hub.asked.clear()
    assert find_downloaded(preset, cache) is None
    assert check_download(preset, cache, hub) == vae_size
    assert download(preset, cache, hub) == sources
    assert Hub.asked == ["vae/diffusion_pytorch_model.safetensors"]

    out = convert(preset, sources, tmp_path / "out", torch.float32)
    assert humo.load(out, device="cpu").transformer.config.num_layers == 2
    assert (out / "vae" / vae.name).samefile(vae) and not (out / "vae" / vae.name).is_symlink()


def test_without_a_network_the_files_and_their_sizes_are_told(name: str, tmp_path: Path) -> None:
    total = {"1.7B": "33.4 GB", "17B": "60.5 GB"}[name]
    with pytest.raises(ValueError) as told:
        download(get_preset(name), tmp_path, NOWHERE)
    assert str(told.value).startswith(
        f"The published model '{name}' is not on this computer and the Hugging Face Hub cannot be reached: bring HuMo/"
    )
    assert f"{total} in all from bytedance-research/HuMo" in str(told.value)
    assert str(told.value).endswith(f"`python -m humo convert --preset {name} --source FOLDER`.")


def test_a_refusal_of_the_hub_is_told(hub: str, name: str, tmp_path: Path, originals: dict[str, Path]) -> None:
    Hub.root = tmp_path / "empty"
    preset = tiny_preset(name, originals[name])
    with pytest.raises(ValueError, match="After the download HuMo/.* still missing|Hub refuses"):
        download(preset, tmp_path / "cache", hub)


@pytest.mark.slow
def test_of_two_that_want_the_same_files_one_downloads_them(
    hub: str, name: str, tmp_path: Path, originals: dict[str, Path]
) -> None:
    preset, told = tiny_preset(name, originals[name]), []
    logger = logging.getLogger("humo.system.files")
    logger.addFilter(lambda record: told.append(record.getMessage()) or Hub.gate.set() or True)
    Hub.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: download(preset, tmp_path / "cache", hub), range(2))
    logger.filters.clear()
    assert first == second == find_downloaded(preset, tmp_path / "cache")
    assert told == [f"Another process is downloading the published {name}: waiting for it."]
    assert len(Hub.asked) == len(set(Hub.asked)) > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("/Wan-AI/Wan2.1-T2V-1.3B-Diffusers/resolve/", r"^The download broke off \(.+\): start it again"),
        ("/api/models/", "and the Hugging Face Hub does not answer as it should: bring HuMo/"),
    ],
)
def test_a_connection_that_breaks_is_one_sentence_and_what_came_is_kept(
    hub: str, name: str, broken: str, words: str, tmp_path: Path, originals: dict[str, Path]
) -> None:
    preset = tiny_preset(name, originals[name])
    Hub.broken = broken
    with pytest.raises(ValueError, match=words) as told:
        download(preset, tmp_path / "cache", hub)
    assert "\n" not in str(told.value)
    came = {path for path in Hub.asked if path.startswith("HuMo-")}
    Hub.broken, Hub.asked = "", []
    assert download(preset, tmp_path / "cache", hub) == find_downloaded(preset, tmp_path / "cache")
    assert came.isdisjoint(Hub.asked) and bool(came) == broken.endswith("resolve/")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face home on a computer without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_load_without_a_network_says_which_files(offline: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError) as told:
        humo.load(name, device="cpu")
    assert f"HuMo/{get_preset(name).transformer}" in str(told.value)
    assert {"1.7B": "33.4 GB", "17B": "60.5 GB"}[name] in str(told.value)
    assert ("besides, the 17B model needs a GPU" in str(told.value)) == (name == "17B")
    assert main(["convert", "--preset", name]) == 2
    assert "the Hugging Face Hub cannot be reached" in capsys.readouterr().err
    assert not (offline / "humo").exists()


def test_load_takes_what_was_converted_before(offline: Path, originals: dict[str, Path]) -> None:
    preset = get_preset("1.7B")
    folder = converted_folder(preset, torch.float32)
    assert folder == offline / "humo" / "1.7B-3a4a1610-float32"
    convert(preset, find_sources(preset, originals["1.7B"]), folder, torch.float32)
    pipeline = humo.load("1.7B", device="cpu")
    assert pipeline.transformer.config.num_layers == 2
    assert pipeline.config.default_guidance["rule"] == "published_1_7b"


def test_17b_is_refused_without_a_gpu(offline: Path, originals: dict[str, Path]) -> None:
    preset = get_preset("17B")
    folder = converted_folder(preset, torch.float32)
    convert(preset, find_sources(preset, originals["17B"]), folder, torch.float32)
    with pytest.raises(ValueError, match=r"^The 17B model needs a GPU and .*: load '1.7B' or 'mini'\.$"):
        humo.load("17B", device="cpu")
