"""What a server grants a visitor, by page and by API alike: sizes of a request, and how many videos.

Gradio checks little on the server: the longest text of a box is not enforced, an address as input is fetched whole, and
a program may send any type. So every request passes through `Limits.check` before it takes a place in the queue, and
every job starts through a `Gate`. Who may have how many jobs at a time is the job manager's matter
(`humo.space.jobs.manager`), what the model can do the pipeline's (`humo.requests.checks`). Ours.
"""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from humo.media import Sound, read_picture, read_sound
from humo.portrait import Portrait
from humo.space.jobs.request import VideoRequest, frames_for
from humo.space.links.settings import MAX_TEXT, check_guidance, check_text
from humo.system.ranges import LARGEST_SEED, check_whole, read_shift, short

if TYPE_CHECKING:
    from humo.space.jobs.job import Job

HOUR = 3600.0
MAX_PATH = 500
"""Characters of a file's path here; Gradio shortens the names of uploads to 200."""
READERS = threading.BoundedSemaphore(2)
"""Files decoded at a time: the largest allowed picture takes 100 MB."""
AnyJob = TypeVar("AnyJob", bound="Job")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most that a request may ask for, and the most requests of a client."""

    prompt: int = MAX_TEXT
    """Characters of a prompt, and of a negative one."""
    steps: int = 50
    """Denoising steps."""
    seconds: float = 10.1
    """Of a video whose length is asked for; of one that goes on from another, of what is new."""
    voice_seconds: float = 60.0
    """Of a sound; what is longer than the model's longest video is cut there, and the video's notes say so."""
    images: int = 4
    """Reference pictures."""
    file_bytes: int = 64 << 20
    """Of each file."""
    pixels: int = 1280 * 720
    """Height times width of the video."""
    jobs_per_hour: int | None = None
    """Of one client; None for no limit."""
    jobs_at_once: int | None = None
    """Of one client in all its tabs; None for no limit."""
    links_per_hour: int = 20
    """Of one client: more would push the links of others out of the store."""
    disk_mib: int = 2_048
    """Of uploads and results together, the shared ones aside; the oldest make room."""
    live_minutes: int = 10
    """Of a live session; 0 for none at all."""
    trusted_proxies: int = 0
    """Proxies of ours in front of the page, each of which adds to X-Forwarded-For; 0 ignores that header."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits with what the environment sets, such as HUMO_JOBS_PER_HOUR; the names stand below.

        Raises:
            ValueError: if one of them is no whole number from 0 on, or from 1 on where nothing would be left to do; 0
                jobs means no limit.
        """
        given: dict[str, Any] = {}
        for name in ("jobs_per_hour", "jobs_at_once", "trusted_proxies", "voice_seconds", "disk_mib", "live_minutes"):
            text = environment.get(f"HUMO_{name.upper()}", "").strip()
            if text and not (text.isascii() and text.isdigit()):
                raise ValueError(f"HUMO_{name.upper()} is {text!r}: give a whole number, or leave it out.")
            if text and int(text) < 1 and name in ("voice_seconds", "disk_mib"):
                raise ValueError(f"HUMO_{name.upper()} is {text!r}: give a whole number from 1 on, or leave it out.")
            if text:
                given[name] = int(text) or (None if name.startswith("jobs") else 0)
        return cls(**given)

    def missing_proxy(self, environment: Mapping[str, str] = os.environ) -> str:
        """What whoever keeps a Space should know: without a trusted proxy all its visitors are one client; or ""."""
        if not environment.get("SPACE_ID") or self.trusted_proxies:
            return ""
        return (
            "HUMO_TRUSTED_PROXIES is 0 on a Space, where all visitors come from the Hub's proxy: they share the "
            f"{self.links_per_hour} links an hour and all other limits of one address; set it to 1."
        )

    def check(self, request: VideoRequest, within: Sequence[Path] = ()) -> None:
        """Refuse what is over the limits or of a wrong type, and files that hold no picture or sound.

        Args:
            request: what a visitor or a program asks for.
            within: folders in one of which every file must lie; none for anywhere.

        Raises:
            ValueError: in one sentence, without the folder of any file.
        """
        check_text("prompt", request.prompt, self.prompt)
        if not request.prompt.strip():
            raise ValueError("prompt is empty: describe in a few words who and what is to be seen.")
        if request.negative_prompt is not None:
            check_text("negative_prompt", request.negative_prompt, self.prompt)
        self._check_numbers(request)
        if request.guidance != {}:
            check_guidance(request.guidance)
        request.check_form()
        self._check_files(request, within)

    def check_seconds(self, seconds: object) -> float:
        """A length in seconds that may be asked for, as a number.

        Raises:
            ValueError: if it is no number above 0, or over the limit.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= self.seconds:
            raise ValueError(f"seconds is {short(seconds)}: choose a number above 0, up to {self.seconds:g}.")
        return float(seconds)

    def _check_numbers(self, request: VideoRequest) -> None:
        most_frames = frames_for(self.seconds)  # so that every length that `check_seconds` grants is within
        if request.overlap is not None:
            check_whole("overlap", request.overlap, 1, most_frames)
        for name, lowest, highest in (
            ("num_inference_steps", 1, self.steps),
            ("num_frames", 1, most_frames + request.num_known),
            ("seed", 0, LARGEST_SEED),
            ("height", 16, self.pixels // 16),
            ("width", 16, self.pixels // 16),
        ):
            value = getattr(request, name)
            if value is not None:
                check_whole(name, value, lowest, highest)
        read_shift(request.audio_shift, request.audio is not None)
        if request.height and request.width and request.height * request.width > self.pixels:
            raise ValueError(
                f"the video would have {request.height}x{request.width} pixels but at most {self.pixels:,} are allowed "
                "here: choose a smaller size."
            )

    def _check_files(self, request: VideoRequest, within: Sequence[Path]) -> None:
        if len(request.images) > self.images:
            raise ValueError(f"{len(request.images)} pictures are given but at most {self.images} are allowed.")
        for image in request.images:
            if isinstance(image, Portrait):
                continue  # checked itself when it was made
            self.check_file("picture", image, within)
            with READERS:
                read_picture(image)
        if request.audio is None:
            return
        if not isinstance(request.audio, Sound):
            self.check_file("sound", request.audio, within)
        with READERS:
            seconds = read_sound(request.audio).duration
        if seconds > self.voice_seconds:
            raise ValueError(
                f"the voice lasts {seconds:.1f} s but at most {self.voice_seconds:g} s are allowed here: cut it."
            )

    def check_file(self, what: str, path: object, within: Sequence[Path] = ()) -> None:
        """Refuse a file that lies elsewhere than in the folders, or is too large.

        Args:
            what: it is, for the sentence.
            path: of the file.
            within: folders; none for anywhere.

        Raises:
            ValueError: in one sentence, without the folder of the file.
        """
        if not isinstance(path, Path) or "\0" in str(path):
            raise ValueError(f"{what} is {short(path)}: give a file of yours.")
        check_text(f"the {what}'s path", str(path), MAX_PATH)
        real = path.resolve()
        if within and not any(real.is_relative_to(folder.resolve()) for folder in within):
            raise ValueError(f"{what} {path.name} was not uploaded here: give a file of yours.")
        if real.is_file() and (size := real.stat().st_size) > self.file_bytes:
            raise ValueError(
                f"{what} {path.name} has {size / 2**20:.0f} MiB but at most {self.file_bytes >> 20} are allowed: "
                "make it smaller."
            )


def client_of(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str:
    """Name the client of a request by its address, as far as that can be trusted.

    Args:
        peer: address that the connection comes from.
        forwarded_for: the header X-Forwarded-For, to which every proxy adds the address that it was called from.
        trusted_proxies: how many of ours are in front; what stands further left in the header anybody may have written.

    Returns:
        An address; of IPv6 its network of 64 bits, which is one household's.
    """
    address = peer or ""
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    if trusted_proxies and hops:
        address = hops[-min(trusted_proxies, len(hops))]
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return peer or "unknown"
    if isinstance(known, ipaddress.IPv6Address):
        known = known.ipv4_mapped or ipaddress.ip_network((int(known) >> 64 << 64, 64)).network_address
    return str(known)


class Hourly:
    """Counts what a client does within an hour, and refuses what is over the limit."""

    def __init__(self, most: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up with nobody counted.

        Args:
            most: times an hour.
            what: is counted, in the plural.
            clock: tells seconds.
        """
        self._most, self._what, self._clock = most, what, clock
        self._times: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def count(self, client: str) -> None:
        """Take note of a client, as `client_of` names it.

        Raises:
            ValueError: in one sentence, if that would be once too often.
        """
        with self.granted(client):
            pass

    @contextmanager
    def granted(self, client: str) -> Iterator[None]:
        """Count a client as `count` does if what is done inside is not refused; nobody waits for it meanwhile."""
        now = self._reserve(client)
        try:
            yield
        except BaseException:
            with self._lock, suppress(ValueError):  # an hour ago by now
                self._times.get(client, []).remove(now)
            raise

    def _reserve(self, client: str) -> float:
        with self._lock:
            now = self._clock()
            recent = {name: [each for each in times if now - each < HOUR] for name, times in self._times.items()}
            self._times = {name: times for name, times in recent.items() if times}
            times = self._times.setdefault(client, [])
            if len(times) >= self._most:
                minutes = max(1, round((HOUR - (now - times[0])) / 60))
                raise ValueError(
                    f"{self._most} {self._what} an hour are granted here: please try again in {minutes} min."
                )
            times.append(now)
            return now


class Gate:
    """Counts the jobs of every client and refuses those over its limits."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up with nobody counted.

        Args:
            limits: how many jobs.
            clock: tells seconds.
        """
        hourly = limits.jobs_per_hour
        self._hourly = None if hourly is None else Hourly(hourly, "videos", clock)
        self._at_once = limits.jobs_at_once
        self._jobs: dict[str, list[Job]] = {}
        self._beginning = Counter[str]()
        self._lock = threading.Lock()

    def start(
        self, client: str, begin: Callable[[], AnyJob], replaced: Job | None = None, is_look: bool = False
    ) -> AnyJob:
        """Start a job for a client.

        Args:
            client: as `client_of` names it.
            begin: starts the job; one that it refuses with a ValueError does not count. Nobody else waits for it.
            replaced: a job of the client's that `begin` ends.
            is_look: a quick look, which is no video of the hour.

        Returns:
            The job.

        Raises:
            ValueError: in one sentence, if the client has too many, or as `begin` says.
        """
        with self._place(client, replaced) as begun, nullcontext() if is_look else self.granted(client):
            job = begin()
            begun.append(job)
            return job

    @contextmanager
    def _place(self, client: str, replaced: Job | None) -> Iterator[list[Job]]:
        """Hold a place for the job that is begun inside and put on the list."""
        with self._lock:
            known = self._jobs.items()
            running = {name: [job for job in jobs if not job.progress.phase.is_over] for name, jobs in known}
            self._jobs = {name: jobs for name, jobs in running.items() if jobs}
            own = sum(job is not replaced for job in self._jobs.get(client, [])) + self._beginning[client]
            if self._at_once is not None and own >= self._at_once:
                videos = "1 video of yours is" if self._at_once == 1 else f"{self._at_once} videos of yours are"
                raise ValueError(f"{videos} still being made: wait for one, or press Stop.")
            self._beginning[client] += 1
        begun: list[Job] = []
        try:
            yield begun
        finally:
            with self._lock:
                self._beginning -= Counter([client])
                if begun:
                    self._jobs[client] = [*self._jobs.get(client, []), *begun]

    def granted(self, client: str) -> AbstractContextManager[None]:
        """Count a client for what is begun inside if it is not refused, beside the jobs that `start` counts.

        Args:
            client: as `client_of` names it.

        Raises:
            ValueError: in one sentence, on entering, if the client asked too often within the hour.
        """
        return nullcontext() if self._hourly is None else self._hourly.granted(client)
