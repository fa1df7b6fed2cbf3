"""What a deployment asks of the Hugging Face Hub, step by step.

Every step looks first at what is there and changes only what differs, so that a deployment that was broken off goes on
when it is started again. A step tells what it does in lines, through `report`. Where the Spacefile has an answer to a
refusal of the Hub, the refusal is told; everything else that goes wrong is a `ValueError` of one sentence. None of
these holds a secret.

Source: huggingface_hub 2.4.0, whose client makes the calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceRuntime, SpaceStage, Volume
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, get_session

from humo.space.deploy import spacefile

Report = Callable[[str], None]
REFUSALS = (402, 403, 404)
"""Payment, permission, unknown: what the Hub answers where an account may not have something."""
KEPT = {".gitattributes"}
"""Files of the Hub's own in a Space."""
LOG_LINES = 15
"""Of the end of the Space's log, where it failed."""
REQUEST_SECONDS = 10.0
"""One request of the health check."""
_BUILDING = {SpaceStage.BUILDING, SpaceStage.RUNNING_BUILDING, SpaceStage.APP_STARTING, SpaceStage.RUNNING_APP_STARTING}
_RESTING = {SpaceStage.PAUSED, SpaceStage.STOPPED, "SLEEPING"}
_BUILD_STAGES = {SpaceStage.BUILD_ERROR, SpaceStage.CONFIG_ERROR, SpaceStage.NO_APP_FILE}


@contextmanager
def in_one_sentence(doing: str, is_secret: bool = False) -> Iterator[None]:
    """Turn what the Hub's client raises into a `ValueError` of one sentence.

    Args:
        doing: what was tried, as the beginning of a sentence: "Creating the Space".
        is_secret: leaves out what the Hub said, for it may repeat what it was sent.
    """
    try:
        yield
    except LocalTokenNotFoundError:
        raise ValueError("There is no token for the Hub: run `hf auth login`, or put one into HF_TOKEN.") from None
    except OfflineModeIsEnabled:
        raise ValueError("HF_HUB_OFFLINE is set, so the Hub cannot be asked: unset it for this command.") from None
    except HfHubHTTPError as error:
        answer = str(error.response.status_code) if is_secret else reason(error)
        raise ValueError(f"{doing} failed, the Hub answered {answer}: {_remedy(error)}.") from None
    except ValueError as error:  # the Hub's own checks, in several lines
        raise ValueError(f"{doing} failed, the Hub answered: {' '.join(str(error).split()).rstrip('.')}.") from None
    except (HTTPError, OSError, RuntimeError) as error:  # hf_xet, which sends large files, raises RuntimeError
        what = "" if is_secret else f" ({_first_line(error)})"
        raise ValueError(f"{doing} broke off{what}: run the same command again, it goes on from there.") from None


def reason(error: HfHubHTTPError) -> str:
    """Status and words of a refusal: "402 (Payment Required)"."""
    response = error.response
    words = " ".join((error.server_message or response.reason_phrase or "no reason given").split())
    return f"{response.status_code} ({words.rstrip('.')})"


def _remedy(error: HfHubHTTPError) -> str:
    if error.response.status_code == 401:
        return "make a token that may write at https://huggingface.co/settings/tokens and run `hf auth login`"
    if error.response.status_code in REFUSALS:
        return "see whether the account and its token may do that"
    return "run the same command again, it goes on from there"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def is_refusal(error: HfHubHTTPError) -> bool:
    """Whether the Hub means that this account may not have that, rather than that something is broken."""
    return error.response.status_code in REFUSALS


def check_token(api: HfApi) -> str:
    """See that the Hub knows the token.

    Returns:
        Name of the account.
    """
    with in_one_sentence("Asking who you are"):
        return api.whoami()["name"]


def space_exists(api: HfApi, space: str) -> bool:
    """Whether the Space is there, for the owner of the token."""
    with in_one_sentence(f"Looking for {space}"):
        return api.repo_exists(space, repo_type="space")


def check_secrets(api: HfApi, space: str, names: tuple[str, ...], given: Mapping[str, str], exists: bool) -> None:
    """See that every secret is given or in the Space already, before anything is changed.

    Raises:
        ValueError: naming one that is not.
    """
    missing = [name for name in names if name not in given]
    if missing and exists:
        with in_one_sentence("Asking for the names of the secrets", is_secret=True):
            present = api.get_space_secrets(space)
        missing = [name for name in missing if name not in present]
    if missing:
        raise ValueError(f"The secret {missing[0]} is neither in your environment nor in the Space: export it.")


def create_space(
    api: HfApi, space: str, file: spacefile.Spacefile, hardware: str, fallback: str | None, report: Report
) -> None:
    """Make the Space, on the hardware or, where that is refused, on the fallback.

    Raises:
        ValueError: if the Hub refuses both.
    """
    choices = [hardware, *([fallback] if fallback else [])]
    for choice in choices:
        with in_one_sentence(f"Creating {space} on {choice}"):
            try:
                api.create_repo(
                    space,
                    repo_type="space",
                    space_sdk=file.space.sdk,
                    visibility=file.space.visibility,
                    space_hardware=choice,
                    space_sleep_time=_sleep_time(file, choice),
                )
            except HfHubHTTPError as error:
                if error.response.status_code == 409:
                    report(f"{space} is there already.")
                    return
                if choice == choices[-1] or not is_refusal(error):
                    raise
                report(f"The Hub refuses {choice}, {reason(error)}.")
            else:
                report(f"Created {space} on {choice}.")
                return


def change_hardware(
    api: HfApi, space: str, file: spacefile.Spacefile, hardware: str, fallback: str | None, report: Report
) -> None:
    """Put a Space that is there on the hardware or its fallback; where both are refused it stays where it is."""
    with in_one_sentence("Changing the hardware"):
        runtime = api.get_space_runtime(space)
        present, sleep_time = runtime.requested_hardware or runtime.hardware, _sleep_time(file, hardware)
        if present == hardware and sleep_time in (None, runtime.sleep_time):
            return
        for choice in [hardware, *([fallback] if fallback and fallback != present else [])]:
            try:
                api.request_space_hardware(space, choice, sleep_time=_sleep_time(file, choice))
            except HfHubHTTPError as error:
                if not is_refusal(error):
                    raise
                report(f"The Hub refuses {choice}, {reason(error)}.")
            else:
                report(f"The Space goes from {present} to {choice}.")
                return
    report(f"The Space stays on {present}.")


def _sleep_time(file: spacefile.Spacefile, hardware: str) -> int | None:
    """Seconds, for the hardware that the Spacefile asks for; the Hub's own time for any other."""
    duration = file.hardware.sleep_time
    return spacefile.seconds(duration) if duration and hardware == file.hardware.request else None


def mount_volumes(api: HfApi, space: str, volumes: tuple[spacefile.Volume, ...], report: Report) -> None:
    """Make the owner's buckets, private, and mount them; without the optional ones where the Hub refuses them.

    Raises:
        ValueError: if the Hub refuses one that is not optional.
    """
    owner = space.partition("/")[0]
    mounted = [volume for volume in volumes if _make_bucket(api, f"{owner}/{volume.source}", volume, report)]
    wanted = [
        Volume(type=volume.type, source=f"{owner}/{volume.source}", mount_path=volume.mount_path) for volume in mounted
    ]
    with in_one_sentence("Mounting the volumes"):
        if not wanted or _places(api.get_space_runtime(space).volumes) == _places(wanted):
            return
        try:
            api.set_space_volumes(space, wanted)
        except HfHubHTTPError as error:
            if not is_refusal(error) or not all(volume.optional for volume in mounted):
                raise
            report(f"The Hub refuses the volumes, {reason(error)}: the Space goes without them.")
            return
    for volume in wanted:
        report(f"Mounted the bucket {volume.source} at {volume.mount_path}.")


def _make_bucket(api: HfApi, bucket: str, volume: spacefile.Volume, report: Report) -> bool:
    with in_one_sentence(f"Making the bucket {bucket}"):
        try:
            api.create_bucket(bucket, visibility="private", exist_ok=True)
        except HfHubHTTPError as error:
            if not (volume.optional and is_refusal(error)):
                raise
            report(f"The Hub refuses the bucket {bucket}, {reason(error)}: the Space goes without {volume.mount_path}.")
            return False
    return True


def _places(volumes: list[Volume] | None) -> set[tuple[str, str, str]]:
    return {(volume.type, volume.source, volume.mount_path) for volume in volumes or ()}


def set_variables(api: HfApi, space: str, variables: Mapping[str, str], report: Report) -> None:
    """Set those that are missing or different; others that the Space has stay, and are told."""
    with in_one_sentence("Setting the variables"):
        present = api.get_space_variables(space)
        for name, value in variables.items():
            if name not in present or present[name].value != value:
                api.add_space_variable(space, name, value)
                report(f"Set the variable {name}={value}.")
    if others := sorted(present.keys() - variables.keys()):
        report(f"Left alone variables that the Spacefile does not name: {', '.join(others)}.")


def set_secrets(api: HfApi, space: str, names: tuple[str, ...], given: Mapping[str, str], report: Report) -> None:
    """Set those that are given; what they hold is never told."""
    for name in names:
        if name in given:
            with in_one_sentence(f"Setting the secret {name}", is_secret=True):
                api.add_space_secret(space, name, given[name])
            report(f"Set the secret {name}.")


def commit_files(api: HfApi, space: str, files: Mapping[str, Path], report: Report) -> str:
    """Bring the Space's repository to exactly these files, in one commit, so that it is built once.

    Args:
        api: the Hub's client.
        space: owner/name.
        files: path there: file here.
        report: told what changes.

    Returns:
        The commit that the Space is to run; the present one if nothing differs.
    """
    with in_one_sentence("The upload"):
        gone = sorted(set(api.list_repo_files(space, repo_type="space")) - files.keys() - KEPT)
        additions = [CommitOperationAdd(name, path) for name, path in files.items()]
        deletions = [CommitOperationDelete(name, is_folder=False) for name in gone]
        commit = api.create_commit(
            space, [*additions, *deletions], commit_message="Deploy with python -m humo deploy", repo_type="space"
        )
    size = sum(addition.upload_info.size for addition in additions)
    report(f"The Space has {len(files)} files of {size / 1e6:.1f} MB at commit {commit.oid[:8]}.")
    if gone:
        report(f"Deleted {', '.join(gone)}.")
    return commit.oid


def wait_until_running(
    api: HfApi, space: str, commit: str, within: float, report: Report, poll: float = 5.0, settle: float = 20.0
) -> SpaceRuntime:
    """Wait for the Space to be built and started; one that rests is started.

    Args:
        api: the Hub's client.
        space: owner/name.
        commit: what it is to run.
        within: seconds that it may take.
        report: told each stage.
        poll: seconds between two looks.
        settle: seconds for which a stage that looks final has to last, for the Hub notices a commit after moments.

    Returns:
        The runtime that runs.

    Raises:
        ValueError: if the Space fails or takes longer.
    """
    deadline, since, seen_stage, was_woken = time.monotonic() + within, 0.0, None, False
    while True:
        with in_one_sentence("Waiting for the Space"):
            runtime = api.get_space_runtime(space)
        now, stage, running = time.monotonic(), runtime.stage, runtime.raw.get("sha")
        if stage != seen_stage:
            report(f"The Space is {stage}.")
            since, seen_stage = now, stage
        if stage == SpaceStage.RUNNING and running == commit:
            return runtime
        if stage not in _BUILDING and now - since >= settle:
            if stage in _RESTING and not was_woken:
                was_woken, since = True, now
                with in_one_sentence("Starting the Space"):
                    api.restart_space(space)
            elif stage != SpaceStage.RUNNING:
                raise _failure(api, space, runtime, report)
            elif running is None:
                return runtime
        if now > deadline:
            raise ValueError(f"{space} is {stage} after {within:.0f} s: look at {_page(api, space)}, it may go on.")
        time.sleep(poll)


def _failure(api: HfApi, space: str, runtime: SpaceRuntime, report: Report) -> ValueError:
    """The end of the log, told, and why the Space does not run."""
    is_build = runtime.stage in _BUILD_STAGES
    with suppress(HTTPError, OSError):  # without the log the sentence still says where it is
        for line in list(api.fetch_space_logs(space, build=is_build))[-LOG_LINES:]:
            report(f"  | {line.rstrip()}")
    why = " ".join(str(runtime.raw.get("errorMessage") or "no reason given").split()).rstrip(".")
    log = f"{_page(api, space)}?logs={'build' if is_build else 'container'}"
    return ValueError(f"{space} is {runtime.stage} ({why}): mend what the log at {log} tells, and deploy again.")


def _page(api: HfApi, space: str) -> str:
    return f"{api.endpoint}/spaces/{space}"


def check_health(api: HfApi, space: str, path: str, expect: int, within: float, poll: float = 2.0) -> str:
    """Ask the running app until it answers as expected.

    Args:
        api: the Hub's client.
        space: owner/name.
        path: of the app.
        expect: HTTP status.
        within: seconds that it may take.
        poll: seconds between two requests.

    Returns:
        The address that answered.

    Raises:
        ValueError: if it does not answer so within that time.
    """
    with in_one_sentence("Asking where the Space is"):
        info = api.space_info(space)
    headers = build_hf_headers(token=api.token) if info.private else {}  # nobody else need know it
    url, deadline = f"{(info.host or '').rstrip('/')}{path}", time.monotonic() + within
    answer: int | str | None = None
    while True:
        left = deadline - time.monotonic()
        try:
            answer = get_session().get(url, headers=headers, timeout=min(REQUEST_SECONDS, max(1.0, left))).status_code
        except HTTPError as error:
            answer = answer or _first_line(error)  # the last status says more than that the time is over
        if answer == expect:
            return url
        if left <= 0:
            break
        time.sleep(min(poll, left))
    raise ValueError(f"{url} answered {answer} and not {expect} for {within:.0f} s: look at {_page(api, space)}.")
