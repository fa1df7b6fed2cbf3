"""The page's parts and what stands behind them, with a tiny model and without a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from humo.pipeline import HuMoPipeline
from humo.space.application.building import build_page, make_tab
from humo.space.examples import read_examples
from humo.space.jobs.admission import Admission
from humo.space.jobs.limits import Limits
from humo.space.jobs.manager import JobManager
from humo.space.jobs.request import MODES
from humo.space.jobs.served_model import ServedModel
from humo.space.links.location import RecordFolder
from humo.space.links.storage import GALLERY, FolderStore, ReadOnlyStore, Stores
from humo.space.page import layout
from humo.space.page.dubbing.view import dubbing
from humo.space.page.widgets import Parts
from humo.space.state import Backend
from humo.space.temporary import DiskQuota


def backend_of(
    pipe: HuMoPipeline, folder: Path, limits: Limits | None = None, loras: Mapping[str, Path] | None = None
) -> Backend:
    """What stands behind a page that serves a pipeline.

    Args:
        pipe: makes the videos.
        folder: of all files, also of uploads; existing and empty of "files".
        limits: of what may be asked for; the usual ones by default.
        loras: that visitors may choose, by name; none by default.
    """
    serving, gallery = ServedModel.of_pipeline(pipe, "tiny"), ReadOnlyStore(GALLERY)
    files, records = folder / "files", folder / "records"
    files.mkdir()
    admission = Admission(JobManager(serving.model, DiskQuota(files, 1 << 30)), limits or Limits(), [folder])
    home = RecordFolder(folder=records, is_lasting=True)
    store = Stores(gallery, FolderStore(records))
    return Backend(serving, admission, gallery, store, home, files, read_examples(), loras=dict(loras or {}))


def parts_of(backend: Backend) -> Parts:
    """The parts of a page whose events nobody has connected."""

    async def build() -> Parts:
        with gr.Blocks(analytics_enabled=False):
            opened = layout.opened()
            with gr.Column() as maker, gr.Tabs() as modes:
                tabs = [make_tab(mode, backend) for mode in MODES]
            settings, panel = layout.settings(backend.serving.defaults, backend.loras), layout.panel()
            links = layout.sharing(True)
            views, other = layout.looking(), layout.comparing()
            return Parts(opened, maker, modes, tabs, gr.Gallery(), settings, panel, links, views, other, dubbing())

    return asyncio.run(build())


def page_of(backend: Backend) -> gr.Blocks:
    """The whole page, connected."""

    async def build() -> gr.Blocks:  # inside a loop, for gradio would open one and leave it open
        return build_page(backend)

    return asyncio.run(build())
