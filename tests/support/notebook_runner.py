"""Runs the lessons: as published or in the fast form, and writes their outputs; for `test_notebooks.py`.

The fast form has the small parameters that a lesson names in its metadata, and before every exercise the learner's cell
with the folded solution in it; the exercise follows as published, so that nothing later can lean on the solution. The
kernel is the running interpreter, its folders are temporary, and no proxy lets it out of the machine.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.util import run_sync
from nbformat import NotebookNode

from humo.system.fast_form_config import FOLDER as FAST

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
MODEL = ROOT / "assets" / "humo-mini"
RECORD = FOLDER / "full-run.json"
MAX_CPU_SECONDS, MAX_CELL_SECONDS, MAX_MIB = 180, 90, 4096
"""What a lesson may cost on two cores."""
WIDGET = "application/vnd.jupyter.widget-view+json"
_SPEC = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "lesson",
    "language": "python",
}
_COST = """
import json, resource, sys
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)]))
"""
_FRESH = 'get_ipython().reset(new_session=False)\n__import__("gc").collect()'


# 1. A notebook's parts


def lessons() -> list[Path]:
    """The lessons, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    """A notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Its cells with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags."""
    return cell.metadata.get("tags", [])


def solution_code(cell: NotebookNode) -> list[str]:
    """The fenced Python blocks of a solution."""
    return re.findall(r"^```python\n(.*?)^```$", cell.source, flags=re.DOTALL | re.MULTILINE)


def hash_of_sources(notebook: NotebookNode) -> str:
    """Of all code but the cell that finds the project; outputs that were made by other code are out of date."""
    sources = json.dumps([cell.source for cell in code_cells(notebook) if "setup" not in tags(cell)])
    return hashlib.sha256(sources.encode()).hexdigest()[:16]


def hash_of_model(notebook: NotebookNode) -> str:
    """Of the bundled weights and configs and of what else of the model's folder a lesson reads; its figures are theirs.

    The fast form counts in lessons that load it, a record of measurements in those that name its file.
    """
    total = hashlib.sha256()
    sources = "\n".join(cell.source for cell in code_cells(notebook))
    files = [*MODEL.rglob("*.safetensors"), *MODEL.rglob("*config.json"), MODEL / "model_index.json"]
    records = [path for path in MODEL.rglob("*.json") if f'"{path.name}"' in sources]
    loads_fast = "fast=True" in sources
    for path in sorted({path for path in files if loads_fast or path.parent != MODEL / FAST} | {*records}):
        total.update(path.read_bytes())
    return total.hexdigest()[:16]


# 2. Forms


def solved(exercise: str, solution: str) -> str:
    """An exercise's cell with the functions of its solution in place of the learner's."""
    written = {node.name for node in ast.parse(solution).body if isinstance(node, ast.FunctionDef)}
    nodes = ast.parse(exercise).body
    kept = [node for node in nodes if not (isinstance(node, ast.FunctionDef) and node.name in written)]
    return "\n".join([solution, *(ast.get_source_segment(exercise, node) for node in kept)])


def fast_form(notebook: NotebookNode) -> NotebookNode:
    """A copy with the fast parameters and, before every exercise, its solution."""
    fast = copy.deepcopy(notebook)
    for name, value in fast.metadata.get("humo", {}).get("fast", {}).items():
        for cell in fast.cells:
            if "parameters" in tags(cell):
                cell.source += f"\n{name} = {value!r}"
    solutions = [code for cell in fast.cells if "solution" in tags(cell) for code in solution_code(cell)]
    cells, left = [], iter(solutions)
    for cell in fast.cells:
        if "exercise" in tags(cell):
            source = solved(cell.source, next(left))
            cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": ["solved"]}))
        cells.append(cell)
    fast.cells = cells
    return fast


def verdicts(notebook: NotebookNode, tag: str) -> list[str]:
    """What the checks printed in the cells with a tag."""
    cells = [cell for cell in code_cells(notebook) if tag in tags(cell)]
    # a kernel may send a line in parts, the end of the line alone for one
    texts = ["".join(each.text for each in cell.outputs if each.output_type == "stream") for cell in cells]
    return [line for text in texts for line in text.splitlines() if line.startswith(("…", "✓", "✗"))]


# 3. Execution


@dataclass(frozen=True, slots=True)
class Run:
    """An executed copy of a notebook, and what it cost.

    Attributes:
        notebook: with outputs.
        cpu_seconds: of all threads, since the kernel began.
        slowest_cell: seconds by the clock.
        peak_mib: most memory of the kernel.
    """

    notebook: NotebookNode
    cpu_seconds: float
    slowest_cell: float
    peak_mib: float


@contextmanager
def kernel() -> Iterator[AsyncKernelManager]:
    """A kernel of the running interpreter that writes nothing outside of a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="humo-") as folder:
        spec = Path(folder) / "kernels" / "lesson" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps(_SPEC))
        names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
        nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
        still = {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait sleep: see notebooks.running
        env = {**os.environ, **dict.fromkeys(names, folder), **nowhere, **still}
        manager = AsyncKernelManager(
            kernel_name="lesson",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(Path(folder) / "kernels")]),
            connection_file=str(Path(folder) / "connection.json"),
            transport="ipc",
            ip=str(Path(folder) / "socket"),
        )
        run_sync(manager.start_kernel)(env=env, cwd=str(FOLDER))
        try:
            yield manager
        finally:
            run_sync(manager.shutdown_kernel)(now=True)


def execute(notebook: NotebookNode, manager: AsyncKernelManager) -> Run:
    """Runs a copy of a notebook in a kernel, with an empty namespace but with the modules that are loaded already.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell does.
    """
    done = copy.deepcopy(notebook)
    around = [nbformat.v4.new_code_cell(source) for source in (_FRESH, _COST)]
    done.cells = [around[0], *done.cells, around[1]]
    client = NotebookClient(
        done,
        km=manager,
        timeout=600,
        record_timing=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    cpu_seconds, peak_mib = json.loads(around[1].outputs[0].text)
    done.cells = done.cells[1:-1]
    return Run(done, cpu_seconds, max(_seconds(cell) for cell in code_cells(done)), peak_mib)


def _seconds(cell: NotebookNode) -> float:
    times = cell.metadata["execution"]
    moments = [datetime.fromisoformat(times[key]) for key in ("iopub.status.busy", "shell.execute_reply")]
    return (moments[1] - moments[0]).total_seconds()


# 4. Full runs and writing


def run_in_full(path: Path) -> Run:
    """Runs a lesson as published in a kernel of its own, and records what it cost.

    Raises:
        ValueError: if it costs more than a lesson may.
    """
    notebook = read(path)
    with kernel() as manager:
        run = execute(notebook, manager)
    costs = (
        ("CPU seconds", run.cpu_seconds, MAX_CPU_SECONDS),
        ("seconds in one cell", run.slowest_cell, MAX_CELL_SECONDS),
        ("MiB", run.peak_mib, MAX_MIB),
    )
    for what, value, most in costs:
        if value > most:
            raise ValueError(f"{path.stem} took {value:.0f} {what}, more than {most}: make it smaller.")
    _record(path.stem, notebook, run)
    return run


def _record(name: str, notebook: NotebookNode, run: Run) -> None:
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    command = ["git", "-c", "safe.directory=*", "rev-parse", "--short", "HEAD"]
    record[name] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip(),
        "sources": hash_of_sources(notebook),
        "model": hash_of_model(notebook),
        "cpu_seconds": round(run.cpu_seconds, 1),
        "slowest_cell_seconds": round(run.slowest_cell, 1),
        "peak_mib": round(run.peak_mib),
    }
    RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n")


def write(path: Path) -> Run:
    """Runs a lesson in full and stores it with its outputs."""
    run = run_in_full(path)
    stored = stripped(run.notebook)
    hashes = {"sources": hash_of_sources(stored), "model": hash_of_model(stored)}
    stored.metadata["humo"] = {**stored.metadata.get("humo", {}), **hashes}
    nbformat.validate(stored)
    nbformat.write(stored, path)
    return run


def stripped(notebook: NotebookNode) -> NotebookNode:
    """A copy without what changes from run to run or needs a kernel: counts, times, widgets, Colab's marks.

    The forms of an output that need no kernel stay; a widget without its kernel would hide them in JupyterLab.
    """
    bare = copy.deepcopy(notebook)
    bare.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        humo=bare.metadata.get("humo", {}),
    )
    for cell in bare.cells:
        cell.metadata = NotebookNode(tags=tags(cell)) if tags(cell) else NotebookNode()
    for cell in code_cells(bare):
        cell.execution_count = None
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = None
            if "data" in output:
                output.data.pop(WIDGET, None)
    return bare
