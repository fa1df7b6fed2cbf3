"""Deploying to a Hub of our own: what is asked of it, what it may refuse, and how a deployment goes on.

No request leaves this computer: every client is given the server's address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hub_server import OWNER, TOKEN, HubServer, Space
from huggingface_hub import HfApi
from project import WEIGHTS, write_project

from humo.space.deploy.command import deploy, make_plan, refresh

SPACE = f"{OWNER}/page"
SECRET = "open-sesame-42"
LISTED = {".gitattributes", "LICENSE", "README.md", "app.py", WEIGHTS, "humo/__init__.py", "requirements.txt"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """The server, which may be asked although everything else is offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path_factory.getbasetemp() / "xet"))
    with HubServer() as server:
        yield server


@dataclass
class Deployment:
    """A project that can be deployed again and again."""

    root: Path
    api: HfApi
    reports: list[str] = field(default_factory=list)

    def run(self, hardware: str | None = None, secrets: dict[str, str] | None = None, **limits: float) -> str:
        """Deploy it; `reports` is anew what this run told."""
        self.reports.clear()
        limits = {"run_within": 300, "answer_within": 300, "poll": 0.01, "settle": 0.05, **limits}
        return deploy(make_plan(SPACE, hardware, self.root), self.api, secrets or {}, self.reports.append, **limits)

    @property
    def text(self) -> str:
        """All lines of the report."""
        return "\n".join(self.reports)


@pytest.fixture
def project(hub: HubServer, tmp_path: Path) -> Callable[..., Deployment]:
    """Makes a project with changes to its Spacefile."""

    def make(changes: dict[str, Any] | None = None, token: str = TOKEN) -> Deployment:
        root = write_project(tmp_path / "project", changes)
        refresh(root)
        return Deployment(root, HfApi(endpoint=hub.address, token=token))

    return make


@pytest.mark.slow
def test_a_new_space_has_all_that_the_spacefile_says(hub: HubServer, project: Callable[..., Deployment]) -> None:
    made = project({"env.secrets": ["PASSPHRASE"]})
    page = made.run(secrets={"PASSPHRASE": SECRET, "OTHER": "unasked"})
    space = hub.state.spaces[SPACE]
    assert page == f"{hub.address}/spaces/{SPACE}"
    assert set(space.files) == LISTED and space.num_commits == 1
    assert (space.hardware, space.visibility, space.sleep_time) == ("cpu-basic", "public", None)
    assert space.variables == {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HUMO_MODEL": "mini",
        "HUMO_TRUSTED_PROXIES": "1",
    }
    assert space.secrets == {"PASSPHRASE": SECRET}
    bucket = f"{OWNER}/humo-compact-generations"
    assert hub.state.buckets == {bucket: {"visibility": "private"}}
    assert space.volumes == [{"type": "bucket", "source": bucket, "mountPath": "/data"}]
    assert len(space.files[WEIGHTS]) == 64, "weights went to the storage for large files"
    assert hub.state.authorization == [None], "the app is asked as anybody would"
    for words in (
        f"Deploying to {SPACE} as {OWNER}.",
        f"Created {SPACE} on cpu-basic.",
        f"Mounted the bucket {bucket} at /data.",
        "Set the variable HUMO_MODEL=mini.",
        "Set the secret PASSPHRASE.",
        "The Space is BUILDING.",
        "The Space is RUNNING.",
        "/app/config answers 200. The Space runs on cpu-basic: ",
    ):
        assert words in made.text
    assert SECRET not in made.text and TOKEN not in made.text


def test_settings_come_before_the_files_so_that_it_is_built_once(
    hub: HubServer, project: Callable[..., Deployment]
) -> None:
    project().run()
    order = [re.sub(r"^\w+ /api/", "", each) for each in hub.asked(r"^(POST|PUT) /api/(repos|buckets|spaces)")]
    steps = ["repos/create", f"spaces/{SPACE}/volumes", f"spaces/{SPACE}/variables", f"spaces/{SPACE}/commit/main"]
    assert [each for each in dict.fromkeys(order) if each in steps] == steps
    assert order[-1] == steps[-1] and order.count(steps[-1]) == 1


@pytest.mark.slow
def test_again_it_changes_only_what_differs(hub: HubServer, project: Callable[..., Deployment]) -> None:
    made = project()
    made.run()
    hub.state.asked.clear()
    made.run()
    changing = hub.asked(r"^(POST|PUT|DELETE) /api/(?!.*(validate-yaml|preupload|buckets))")
    assert changing == [] and hub.state.spaces[SPACE].num_commits == 1
    (made.root / "app.py").write_text("page = 2\n")
    (made.root / "LICENSE").unlink()
    (made.root / "humo" / "new.py").write_text("")
    write_project_again = {"files.include": ["app.py", "humo/**", "assets/**", "requirements.txt", "README.md"]}
    write_spacefile(made.root, write_project_again)
    hub.state.spaces[SPACE].variables |= {"HUMO_MODEL": "17B", "MINE": "1"}
    made.run()
    space = hub.state.spaces[SPACE]
    assert set(space.files) == LISTED - {"LICENSE"} | {"humo/new.py"} and space.num_commits == 2
    assert space.variables["HUMO_MODEL"] == "mini" and space.variables["MINE"] == "1"
    assert "Left alone variables that the Spacefile does not name: MINE." in made.text
    assert "Deleted LICENSE." in made.reports
    assert len(hub.asked("POST /cas/v1/xorbs")) <= 1, "weights that are there are not sent again"


def write_spacefile(root: Path, changes: dict[str, Any]) -> None:
    """Change the Spacefile of a project and nothing else in it."""
    kept = {name: (root / name).read_bytes() for name in ("app.py", "README.md")}
    missing = [name for name in ("LICENSE",) if not (root / name).exists()]
    write_project(root, changes)
    for name, content in kept.items():
        (root / name).write_bytes(content)
    for name in missing:
        (root / name).unlink()
    refresh(root)


@pytest.mark.slow
@pytest.mark.parametrize("status", [402, 403, 404])
def test_refused_hardware_gives_way_to_the_fallback(
    hub: HubServer, project: Callable[..., Deployment], status: int
) -> None:
    hub.state.refusals.append((r"repos/create .*cpu-basic", status, "Upgrade to PRO"))
    made = project()
    made.run()
    assert hub.state.spaces[SPACE].hardware == "zero-a10g"
    assert f"The Hub refuses cpu-basic, {status} (Upgrade to PRO)." in made.text
    assert f"Created {SPACE} on zero-a10g." in made.text and "The Space runs on zero-a10g" in made.text


def test_hardware_that_is_refused_without_another_is_a_sentence(
    hub: HubServer, project: Callable[..., Deployment]
) -> None:
    hub.state.refusals.append((r"repos/create", 402, "Upgrade to PRO"))
    for hardware, last in ((None, "zero-a10g"), ("l4x1", "l4x1")):
        with pytest.raises(ValueError) as reports:
            project().run(hardware)
        assert str(reports.value) == (
            f"Creating {SPACE} on {last} failed, the Hub answered 402 (Upgrade to PRO): see whether the account and "
            "its token may do that."
        )
    assert hub.state.spaces == {}


@pytest.mark.slow
def test_a_space_that_is_there_moves_or_stays(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.spaces[SPACE] = Space(hardware="t4-small")
    made = project({"hardware.request": "l4x1", "hardware.sleep_time": "1h"})
    made.run()
    space = hub.state.spaces[SPACE]
    assert (space.hardware, space.sleep_time) == ("l4x1", 3600)
    assert "The Space goes from t4-small to l4x1." in made.text and not hub.asked("repos/create")
    space.sleep_time = 60
    made.run()
    assert (space.hardware, space.sleep_time) == ("l4x1", 3600), "also only the time until it sleeps"
    hub.state.refusals.append((r"/hardware", 402, "Payment required"))
    made.run("a100-large")
    assert space.hardware == "l4x1"
    assert "The Hub refuses a100-large, 402 (Payment required)." in made.text
    assert "The Space stays on l4x1." in made.text


def test_a_space_that_comes_into_being_meanwhile_is_taken(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.spaces[SPACE] = Space(hardware="cpu-basic")
    hub.state.once.append((rf"GET /api/spaces/{SPACE} $", 404, "RepoNotFound"))
    made = project()
    made.run()
    assert f"{SPACE} is there already." in made.text and set(hub.state.spaces[SPACE].files) == LISTED


@pytest.mark.slow
def test_a_bucket_that_is_refused_is_left_out_if_it_may_be(hub: HubServer, project: Callable[..., Deployment]) -> None:
    bucket = f"{OWNER}/humo-compact-generations"
    hub.state.refusals.append((r"/api/buckets/", 402, "No storage"))
    made = project()
    made.run()
    assert hub.state.spaces[SPACE].volumes is None
    assert f"The Hub refuses the bucket {bucket}, 402 (No storage): the Space goes without /data." in made.text
    made = project({"storage.volumes.0.optional": False})
    with pytest.raises(ValueError, match=rf"^Making the bucket {bucket} failed, the Hub answered 402 \(No storage\)"):
        made.run()
    hub.state.refusals[:] = [(r"/volumes", 403, "Not for you")]
    made = project()
    made.run()
    assert "The Hub refuses the volumes, 403 (Not for you): the Space goes without them." in made.text


def test_a_wrong_token_is_told_and_nothing_is_changed(hub: HubServer, project: Callable[..., Deployment]) -> None:
    with pytest.raises(ValueError) as reports:
        project(token="hf_" + "b" * 34).run()
    assert str(reports.value).startswith("Asking who you are failed, the Hub answered 401 (")
    assert str(reports.value).endswith("https://huggingface.co/settings/tokens and run `hf auth login`.")
    assert "hf_b" not in str(reports.value) and not hub.asked("^(POST|PUT)")


@pytest.mark.slow
def test_a_missing_secret_is_told_before_anything_is_changed(
    hub: HubServer, project: Callable[..., Deployment]
) -> None:
    made = project({"env.secrets": ["PASSPHRASE"]})
    with pytest.raises(ValueError, match=r"^The secret PASSPHRASE is neither in your environment nor in the Space"):
        made.run()
    assert not hub.asked("^(POST|PUT)")
    hub.state.spaces[SPACE] = Space(hardware="cpu-basic", secrets={"PASSPHRASE": SECRET})
    made.run()
    assert hub.state.spaces[SPACE].secrets == {"PASSPHRASE": SECRET} and not hub.asked("POST .*/secrets")


def test_what_the_hub_says_of_a_secret_is_not_repeated(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.refusals.append((r"POST .*/secrets", 400, f"not allowed: {SECRET}"))
    made = project({"env.secrets": ["PASSPHRASE"]})
    with pytest.raises(ValueError, match=r"^Setting the secret PASSPHRASE failed, the Hub answered 400: ") as reports:
        made.run(secrets={"PASSPHRASE": SECRET})
    assert SECRET not in str(reports.value) + made.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("POST .*/commit/", r"^The upload broke off \(.+\): run the same command again, it goes on from there\.$"),
        ("GET .*/runtime", r"^Mounting the volumes broke off \(.+\): run the same command again"),
        ("POST .*/variables", r"^Setting the variables broke off \(.+\): run the same command again"),
    ],
)
def test_a_broken_connection_is_a_sentence_and_the_next_run_goes_on(
    hub: HubServer, project: Callable[..., Deployment], broken: str, words: str
) -> None:
    hub.state.breaks.append(broken)
    made = project()
    with pytest.raises(ValueError, match=words) as reports:
        made.run()
    assert "\n" not in str(reports.value) and hub.state.spaces[SPACE].num_commits == 0
    made.run()
    assert set(hub.state.spaces[SPACE].files) == LISTED
    assert len(hub.asked("POST /api/repos/create")) == 1


def test_a_readme_that_the_hub_refuses_is_a_sentence(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.refusals.append(("validate-yaml", 400, "no"))
    with pytest.raises(ValueError, match=r"^The upload failed, the Hub answered: Invalid metadata in README\.md\.$"):
        project().run()


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "log"), [("BUILD_ERROR", "build"), ("RUNTIME_ERROR", "container")])
def test_a_space_that_fails_shows_the_end_of_its_log(
    hub: HubServer, project: Callable[..., Deployment], stage: str, log: str
) -> None:
    hub.state.stages, hub.state.error = ["BUILDING", stage], "Exit code: 1.\nReason: no torch"
    hub.state.log = [f"line {number}\n" for number in range(40)]
    made = project()
    with pytest.raises(ValueError) as reports:
        made.run()
    assert str(reports.value) == (
        f"{SPACE} is {stage} (Exit code: 1. Reason: no torch): mend what the log at "
        f"{hub.address}/spaces/{SPACE}?logs={log} tells, and deploy again."
    )
    assert [line for line in made.reports if line.startswith("  | ")] == [f"  | line {n}" for n in range(25, 40)]
    hub.state.stages = ["BUILDING", "RUNNING"]
    (made.root / "app.py").write_text("page = 3\n")
    made.run()
    assert "The Space is RUNNING." in made.text


@pytest.mark.slow
def test_the_running_version_before_the_commit_is_not_taken_for_the_new_one(
    hub: HubServer, project: Callable[..., Deployment]
) -> None:
    hub.state.stages = ["RUNTIME_ERROR", "RUNTIME_ERROR", "BUILDING", "RUNNING"]
    made = project()
    made.run(settle=60)
    stages = [line for line in made.reports if line.startswith("The Space is ")]
    assert stages == ["The Space is RUNTIME_ERROR.", "The Space is BUILDING.", "The Space is RUNNING."]
    hub.state.tells_sha, hub.state.stages = False, ["RUNNING", "RUNNING_BUILDING", "RUNNING"]
    (made.root / "app.py").write_text("page = 2\n")
    made.run(settle=0.2)
    assert "The Space is RUNNING_BUILDING." in made.text and made.reports[-2] == "The Space is RUNNING."


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["PAUSED", "SLEEPING"])
def test_a_space_that_rests_is_started(hub: HubServer, project: Callable[..., Deployment], stage: str) -> None:
    hub.state.stages = [stage]
    made = project()
    made.run()
    assert len(hub.asked("POST .*/restart")) == 1
    assert made.reports[-3:-1] == [f"The Space is {stage}.", "The Space is RUNNING."]


def test_a_space_that_is_not_ready_in_time_is_told(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.stages = ["BUILDING"]
    with pytest.raises(ValueError, match=rf"^{SPACE} is BUILDING after 0 s: look at http.+, it may go on\.$"):
        project().run(run_within=0.1)


def test_the_app_is_asked_until_it_answers(hub: HubServer, project: Callable[..., Deployment]) -> None:
    hub.state.health = [503, 404, 200]
    made = project({"space.visibility": "private"})
    made.run()
    assert hub.state.authorization == [f"Bearer {TOKEN}"] * 3, "a private Space lets nobody else in"
    assert "answers 200" in made.reports[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "within", "words"),
    [(None, 0.5, r"answered .*timed out.* and not 200"), (500, 5.0, "answered 500 and not")],
)
def test_an_app_that_does_not_answer_is_told(
    hub: HubServer, project: Callable[..., Deployment], answer: int | None, within: float, words: str
) -> None:
    hub.state.health = [answer]
    made = project()
    with pytest.raises(ValueError, match=words):
        made.run(answer_within=within)
