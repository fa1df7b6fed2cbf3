"""What the tools promise is within the limits, without a server.

Run: python -m pytest tests/space/mcp/test_promises.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from page_parts import backend_of

from humo.space.jobs.request import VideoRequest, frames_for
from humo.space.mcp.making import video_tools


@pytest.mark.parametrize("max_frames", [None, 251])
def test_the_longest_video_that_a_tool_promises_is_taken(tmp_path: Path, max_frames: int | None) -> None:
    backend = backend_of(tiny.pipeline("mini", max_frames=max_frames), tmp_path)
    limits, promised = backend.admission.limits, list[float]()
    for tool in video_tools(backend):
        if "seconds" in tool.arguments:
            promised.append(tool.arguments["seconds"]["maximum"])
    assert promised == [10.1 if max_frames is None else 251 / 25] * 2, "of generate and of text_image"
    for seconds in promised:
        limits.check(VideoRequest(prompt="a man", num_frames=frames_for(limits.check_seconds(seconds), max_frames)))
