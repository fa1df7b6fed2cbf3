"""What stands behind the page: the model with its jobs, the records of shared links, the examples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from humo.loading.lora_files import LORAS, list_loras
from humo.space.examples import FOLDER as EXAMPLES
from humo.space.examples import Example, read_examples
from humo.space.jobs.admission import Admission
from humo.space.jobs.limits import Limits
from humo.space.jobs.manager import JobManager
from humo.space.jobs.model_choice import wanted_model
from humo.space.jobs.served_model import ServedModel
from humo.space.jobs.zerogpu import is_zero_gpu
from humo.space.links.location import RecordFolder, find_record_folder
from humo.space.links.storage import GALLERY, FolderStore, ReadOnlyStore, Store, Stores
from humo.space.live.hub import LiveHub
from humo.space.temporary import DiskQuota


@dataclass(frozen=True)
class Backend:
    """What the page's events work with."""

    serving: ServedModel
    admission: Admission
    gallery: Store
    store: Store
    """The gallery's records and the visitors'."""
    home: RecordFolder
    """Where the visitors' are."""
    folder: Path
    """For files of this process."""
    examples: list[Example]
    live: LiveHub | None = None
    """Who is live; None where nobody can be: without a fast form, or a device of this process's own."""
    loras: Mapping[str, Path] = field(default_factory=dict)
    """LoRAs that visitors may choose, by name."""

    @classmethod
    def open(
        cls, folder: Path, model: str | None = None, records: Path | None = None, is_on_ray: bool = False
    ) -> Backend:
        """Find all of it; nothing heavy is loaded but a model that is not on disk as a folder.

        Args:
            folder: for files of this process and uploads, existing.
            model: "mini", "1.7B", "17B" or a folder; None for what the environment says.
            records: folder of the shared links; None for what the environment says.
            is_on_ray: whether workers on Ray do the work (`humo.space.jobs.ray_serve`), with the model that they have.

        Raises:
            ValueError: in one sentence, if a part is missing or damaged.
        """
        home = find_record_folder({"HUMO_RECORDS": str(records)}) if records else find_record_folder()
        gallery = ReadOnlyStore(GALLERY)
        limits = Limits.from_environment()
        quota = DiskQuota(folder, limits.disk_mib << 20)
        if is_on_ray:
            serving, manager = _on_ray(quota)
        else:
            serving = ServedModel.open(wanted_model({"HUMO_MODEL": model}) if model else wanted_model())
            manager = JobManager(serving.model, quota)
        admission = Admission(manager, limits, [folder, EXAMPLES])
        store = Stores(gallery, FolderStore(home.folder))
        live = _live(serving, manager, limits)
        named = os.environ.get(LORAS, "").strip()
        loras = list_loras(Path(named)) if named else {}
        return cls(serving, admission, gallery, store, home, folder, read_examples(), live, loras)


def _live(serving: ServedModel, manager: JobManager, limits: Limits) -> LiveHub | None:
    if not serving.has_fast or not limits.live_minutes or manager.turns is None or is_zero_gpu():
        return None
    return LiveHub(serving.model, manager.turns, limits.live_minutes, manager.share)


def _on_ray(quota: DiskQuota) -> tuple[ServedModel, JobManager]:
    """The model that workers have, and the job manager whose work they do.

    Raises:
        ValueError: if Ray is not installed, or no workers answer.
    """
    try:
        from humo.space.jobs.ray_serve import Workers
    except ImportError as error:
        raise ValueError(f'--ray needs Ray ({error}): run `pip install "ray[serve]"`.') from None
    workers = Workers.connect()
    about = workers.about()
    serving = about.serving()
    return serving, JobManager(serving.model, quota, workers.run, about.places, about.batches)
