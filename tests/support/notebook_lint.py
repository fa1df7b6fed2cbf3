"""What every lesson keeps to, as sentences about what it does not: form, words for pictures, size, stored outputs.

Source: the rules of form are ours, after checklists for accessible notebooks.
"""

from __future__ import annotations

import ast
import base64
import re
import symtable
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from nbformat import NotebookNode
from notebook_runner import WIDGET, code_cells, hash_of_model, hash_of_sources, read, solution_code, tags

from humo.__main__ import COMMANDS
from notebooks.badges import colab_link, fetch_line, read_setting
from notebooks.drawing import MAX_PNG
from notebooks.outline import EXERCISE, open_problems

MAX_BYTES = 600_000
MAX_LINES, MAX_COLUMNS, SETUP_LINES = 25, 88, 4
TAGS = {"parameters", "exercise", "solution", "setup"}
NAMED = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp|farm)/\w|[A-Z]:\\\\")
"""A folder of one machine."""
COMMAND = re.compile(r"^\s*[!%]", re.MULTILINE)
"""Of the shell or of IPython."""
_SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SECTIONS = ("What we left out", "Sources")


def lint(path: Path) -> list[str]:
    """What is wrong with a lesson's form; outputs are not looked at."""
    notebook = read(path)
    rules = (_headings, _first_cell, _words_for_pictures, _code, _explorers, _tags, _steps, _problems, _paths)
    return [sentence for rule in rules for sentence in rule(notebook, path)]


def lint_outputs(path: Path) -> list[str]:
    """What is wrong with a lesson's stored outputs."""
    notebook = read(path)
    return [*_stored(notebook, path), *_outputs(notebook)]


def _markdown(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def _prose(notebook: NotebookNode) -> list[str]:
    """Markdown without its fenced code, whose comments look like headings."""
    return [re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE) for text in _markdown(notebook)]


def _headings(notebook: NotebookNode, path: Path) -> Iterator[str]:
    found = [match for text in _prose(notebook) for match in re.findall(r"^(#+) +(.+)$", text, re.MULTILINE)]
    levels = [len(marks) for marks, _ in found]
    if levels.count(1) != 1 or levels[0] != 1:
        yield f"there must be one heading of level 1, and it comes first; levels are {levels}"
    for before, (marks, title) in zip(levels, found[1:], strict=False):
        if len(marks) > before + 1:
            yield f"the heading {title!r} skips a level"
    yield from (f"the section {name!r} is missing" for name in SECTIONS if name not in [title for _, title in found])


def _first_cell(notebook: NotebookNode, path: Path) -> Iterator[str]:
    first = notebook.cells[0].source
    if not re.match(rf"# {path.stem[:2]} · \S", first):
        yield f"the title must begin with '# {path.stem[:2]} · '"
    if (link := colab_link(path.stem, read_setting())) not in first:
        yield f"the first cell must have {link}: run python -m notebooks.badges"
    if len(re.findall(r"\]\(#", first)) < 5:
        yield "the first cell has no table of contents"
    if len(re.findall(r"^- ", first, re.MULTILINE)) < 3:
        yield "the first cell must list what a reader will be able to do"
    if not re.search(r"\bmin(ute)?s?\b", first):
        yield "the first cell must say how many minutes the lesson takes"
    titles = re.findall(r"^#+ +(.+)$", "\n".join(_prose(notebook)), re.MULTILINE)
    anchors = {title.replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(#([^)]+)\)", first):
        if target not in anchors:
            yield f"the table of contents leads to #{target}, which is no heading"


def _words_for_pictures(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for text in _markdown(notebook):
        if re.search(r"!\[\s*\]\(", text) or re.search(r"<img(?![^>]*\balt=)", text):
            yield "a picture in the text has no alt text"
        if vague := re.search(r"\[(here|this|link|click here)\]\(", text, re.IGNORECASE):
            yield f"the link {vague[1]!r} does not say where it leads"
        for target in re.findall(r"\]\((\.\.?/[^)#\s]+)", text):
            if not (path.parent / target).exists():
                yield f"the link to {target} leads nowhere"


def _code(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        blocks = [cell.source] if cell.cell_type == "code" else solution_code(cell)
        for source in blocks:
            lines = source.splitlines()
            if len(lines) > MAX_LINES:
                yield f"cell {number} has {len(lines)} lines of code, more than {MAX_LINES}"
            if long := [line for line in lines if len(line) > MAX_COLUMNS]:
                yield f"cell {number} has a line of {len(long[0])} characters, more than {MAX_COLUMNS}"
            yield from (f"cell {number} {fault}" for fault in _faults(source) if "setup" not in tags(cell))
    if not any("import humo" in cell.source or "from humo" in cell.source for cell in code_cells(notebook)):
        yield "nothing of humo is imported"


def _faults(source: str) -> Iterator[str]:
    if COMMAND.search(source):
        yield "runs a command of the shell or of IPython"
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            yield f"defines the class {node.name}: it belongs into the library"
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"imports {name}" for name in modules if name.split(".")[0] in ("requests", "urllib", "socket"))


def _explorers(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Sliders are moved when the whole lesson has run: what draws for them must find its names as they were."""
    uses: dict[str, set[str]] = {}
    watched: list[tuple[int, set[str]]] = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or "setup" in tags(cell) or COMMAND.search(cell.source):
            continue
        table = symtable.symtable(cell.source, str(path), "exec")
        changed = set(_assigned(ast.parse(cell.source)))
        for start, names in watched:
            yield from (f"cell {number} changes {name}, which cell {start} draws with" for name in changed & names)
        functions: dict[str, set[str]] = {}
        for child in table.get_children():  # every lambda has the same name
            functions[child.get_name()] = functions.get(child.get_name(), set()) | _globals(child)
        uses |= functions
        if "explore(" in cell.source:
            drawn = functions.keys() | {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
            watched.append((number, _reached(drawn & uses.keys(), uses)))


def _assigned(node: ast.AST) -> Iterator[str]:
    """Names that a cell gives a value; those of its functions and comprehensions are their own."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        if not isinstance(child, _SCOPES):
            yield from _assigned(child)


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Names of the notebook that a function uses, the functions inside it too."""
    found = {each.get_name() for each in table.get_symbols() if each.is_global() and each.is_referenced()}
    return found.union(*map(_globals, table.get_children()))


def _reached(functions: set[str], uses: dict[str, set[str]]) -> set[str]:
    """Names that functions use, by way of each other too; their own are passed by value."""
    reached, waiting = set(), list(functions)
    while waiting:
        fresh = uses.get(waiting.pop(), set()) - reached
        reached |= fresh
        waiting += fresh
    return reached


def _tags(notebook: NotebookNode, path: Path) -> Iterator[str]:
    every = [(cell, tag) for cell in notebook.cells for tag in tags(cell)]
    yield from (f"the tag {tag!r} is unknown" for _, tag in every if tag not in TAGS)
    names = [tag for _, tag in every]
    if names.count("parameters") != 1:
        yield f"one cell must have the tag 'parameters', not {names.count('parameters')}"
    if names.count("setup") != 1 or "setup" not in tags(notebook.cells[1]):
        yield "the second cell, and it alone, must have the tag 'setup'"
    elif len(notebook.cells[1].source.splitlines()) > SETUP_LINES:
        yield f"the cell with the tag 'setup' must have at most {SETUP_LINES} lines"
    elif fetch_line(read_setting()) not in notebook.cells[1].source.splitlines():
        yield f"the cell with the tag 'setup' must have {fetch_line(read_setting())!r}: run python -m notebooks.badges"
    tried = [tag for tag in names if tag in ("exercise", "solution")]
    if not tried or tried != ["exercise", "solution"] * (len(tried) // 2):
        yield "every exercise must be followed by its solution, and there must be one at least"
    for cell, tag in every:
        if tag == "solution" and ("<details>" not in cell.source or len(solution_code(cell)) != 1):
            yield "a solution must be a fold with one block of Python"
        if tag == "exercise" and cell.source.count("check(") != 1:
            yield "the cell of an exercise must call check once"
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if "exercise" in tags(cell) and not EXERCISE.search(before.source):
            yield (
                "the text before an exercise must have a heading 'Exercise …' and directly under it "
                "'*Difficulty ●●○ · about 8 minutes*'"
            )


def _steps(notebook: NotebookNode, path: Path) -> Iterator[str]:
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for name, least in (("begin(", 1), ("quiz(", 2), ("explore(", 1), ("assert ", 3)):
        if (found := code.count(name)) < least:
            yield f"{name} is used {found} times, less than {least}"


def _problems(notebook: NotebookNode, path: Path) -> Iterator[str]:
    problems = open_problems(_markdown(notebook))
    if problems is None or len(problems) != 2:
        yield "there must be a section '## Open problems' with two numbered items, no less and no more"
    for problem in problems or []:
        named = re.findall(r"`([^`]+)`", problem)
        if not named:
            yield f"the open problem {problem[:40]!r} names nothing to try it with, between backticks"
        yield from (f"the open problem {problem[:40]!r} {fault}" for each in named for fault in _unknown(each))


def _unknown(name: str) -> Iterator[str]:
    """What is wrong with a name between backticks, if it is a module, a function or a command of ours."""
    if (command := re.match(r"python -m humo (\w+)", name)) and command[1] not in COMMANDS:
        yield f"names the command {command[1]!r}, which there is not"
    if module := re.match(r"python -m (notebooks\.\w+)", name):
        dotted = module[1]
    elif re.fullmatch(r"(?:humo|notebooks)(?:\.\w+)+", name):
        dotted = name
    else:
        return
    if not _exists(dotted):
        yield f"names {dotted}, which there is not"


def _exists(dotted: str) -> bool:
    parent, _, last = dotted.rpartition(".")
    try:
        import_module(dotted)
    except ImportError:
        try:
            return hasattr(import_module(parent), last)
        except ImportError:
            return False
    return True


def _paths(notebook: NotebookNode, path: Path) -> Iterator[str]:
    if found := NAMED.search("\n".join(cell.source for cell in notebook.cells)):
        yield f"{found[0]!r} is a folder of one machine"


def _stored(notebook: NotebookNode, path: Path) -> Iterator[str]:
    humo = notebook.metadata.get("humo", {})
    if humo.get("sources") != hash_of_sources(notebook):
        yield "the outputs are older than the code: run python tests/lessons/test_notebooks.py --write"
    if humo.get("model") != hash_of_model(notebook):
        yield "the outputs are of another model: run python tests/lessons/test_notebooks.py --write"
    if unknown := set(notebook.metadata) - {"kernelspec", "language_info", "humo"}:
        yield f"the metadata has {', '.join(sorted(unknown))}"
    if any(set(cell.metadata) - {"tags"} for cell in notebook.cells):
        yield "a cell has metadata other than tags"
    if (size := path.stat().st_size) > MAX_BYTES:
        yield f"the file has {size} bytes, more than {MAX_BYTES}"
    if any(cell.execution_count for cell in code_cells(notebook)):
        yield "a cell has an execution count"


def _outputs(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"cell {number} stored an error or a warning"
            if WIDGET in data:
                yield f"cell {number} stored a widget without its kernel"
            if "image/png" in data:
                yield from (f"cell {number} {fault}" for fault in _picture_faults(output))
            words = {kind: text for kind, text in data.items() if not kind.startswith("image/")}
            if NAMED.search(str(words) + output.get("text", "")):
                yield f"cell {number} stored a folder of one machine"


def _picture_faults(output: NotebookNode) -> Iterator[str]:
    size = len(base64.b64decode(output.data["image/png"]))
    if size > MAX_PNG:
        yield f"stored a picture of {size} bytes, more than {MAX_PNG}"
    words = output.metadata.get("image/png", {}).get("alt", "")
    if len(words) < 20 or output.data.get("text/plain") != words:
        yield "stored a picture without alt text, or with one that says nothing: use show, explore or play"
