"""Weights of the instruments: missing, damaged, foreign, harmful, downloaded."""

from __future__ import annotations

import hashlib
import re

import pytest
import torch
from benches import CASE, Harmful
from torch import nn

from humo.evaluation.published.command import describe_needs
from humo.evaluation.published.instruments.metric import applies
from humo.evaluation.published.instruments.registry import METRICS, metric_class, read_names
from humo.evaluation.published.instruments.weights import Weights, WeightsFile, fetch

FILE = WeightsFile(path="w.pt", num_bytes=3_000_000, url="https://example.org/w.pt", sha256="00")


def test_a_missing_file_is_one_sentence_with_size_and_source(tmp_path):
    for name in METRICS:
        metric = metric_class(name)
        with pytest.raises(ValueError) as error:
            Weights(tmp_path).require(name, metric.needs)
        text = str(error.value)
        assert text.startswith(f"{name} needs {metric.needs[0].path.partition('/')[0]}") and "--download" in text
        assert metric.needs[0].url.partition("/resolve/")[0] in text and re.search(r"\d (GB|MB|kB)\)", text)
        assert len(text) < 500
    with pytest.raises(ValueError, match="package that is missing: pip install no-such-thing"):
        Weights(tmp_path).require("X", (), ("no_such_module:no-such-thing",))


def test_damaged_or_foreign_weights_are_refused(tmp_path):
    weights = Weights(tmp_path)
    torch.save({"weight": torch.ones(1, 3), "bias": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w.pt has SHA-256 .*, not 00\.\.\.: fetch it from https://example.org"):
        weights.require("X", [FILE])
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    right = WeightsFile(path="w.pt", num_bytes=1, url="", sha256=digest[:8])
    weights.require("X", [right])
    told = weights.state_dict(FILE)
    assert weights.fill(nn.Linear(3, 1), FILE, told).weight.sum() == 3
    with pytest.raises(ValueError, match="does not fit Linear: 1 tensors such as weight differ"):
        weights.fill(nn.Linear(4, 1), FILE, told)
    with pytest.raises(ValueError, match="does not fit Linear: 1 tensors such as bias differ"):
        weights.fill(nn.Linear(3, 1, bias=False), FILE, told)
    (tmp_path / "w.pt").write_bytes(b"PK no weights")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        weights.state_dict(FILE)


def test_weights_cannot_run_code(tmp_path):
    torch.save({"weight": Harmful(tmp_path / "made")}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        Weights(tmp_path).state_dict(FILE)
    assert not (tmp_path / "made").exists()


def test_a_download_is_told_checked_and_whole_or_not_there(tmp_path, caplog):
    source = tmp_path / "source.pt"
    source.write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    wanted = WeightsFile(path="sub/w.pt", num_bytes=7_000_000, url=source.as_uri(), sha256=digest)
    fetch([wanted], tmp_path / "weights")
    assert (tmp_path / "weights/sub/w.pt").read_bytes() == b"numbers"
    assert "Downloading 7.0 MB of weights into weights: sub/ (7.0 MB)" in caplog.text
    caplog.clear()
    fetch([wanted], tmp_path / "weights")
    assert not caplog.text
    for url, reason in ((source.as_uri(), "gave another file"), ((tmp_path / "x").as_uri(), "cannot be fetched")):
        with pytest.raises(ValueError, match=reason):
            fetch([WeightsFile(path="v.pt", num_bytes=1, url=url, sha256="00")], tmp_path / "weights")
    assert not list((tmp_path / "weights").glob("v.pt*"))


def test_names_of_metrics():
    assert read_names("all") == list(METRICS)
    assert read_names(" sync-c,AES ") == ["AES", "Sync-C"]
    for text in ("", "fid", "aes,fid"):
        with pytest.raises(ValueError, match="use all, or some of AES, IQA"):
            read_names(text)
    told = describe_needs(list(METRICS))
    assert "opencv-python-headless" in told and "syncnet_v2.model (54.6 MB)" in told
    assert told.count("face_detection_yunet_2023mar.onnx (") == 6 and re.search(r"In all \d+\.\d GB of weights", told)


def test_metrics_say_what_they_need_of_a_case():
    assert [name for name in METRICS if applies(metric_class(name), CASE)] == ["AES", "IQA", "TVA"]
