"""Every page is run: what it shows is what a reader gets.

In README.md and docs/*.md, from top to bottom, in one namespace and one empty folder a page:

- a ``python`` block runs; one whose first line is ``# name.py`` is also saved under that name;
- a ``text`` block directly below a ``python`` block is what that printed;
- in a ``console`` block each line ``$ trnlab ...`` runs and must succeed, and the lines below it,
  where there are any, are what it printed.

``...`` stands for any text, as in doctest. A copy of examples/ lies in the folder.
"""

import contextlib
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from doctest import ELLIPSIS, OutputChecker
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"# (\w+\.py)\n")
OPTIONAL = {"torch", "jax", "numba", "perfetto"}


class Block(NamedTuple):
    """A fenced block: its language, text, first line in the page, and the output shown below it."""

    language: str
    text: str
    line: int
    printed: str | None


def blocks(page: str) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    found = list(FENCE.finditer(page))
    for here, after in zip_longest(found, found[1:]):
        follows = after and after[1] == "text" and not page[here.end() : after.start()].strip()
        line = page.count("\n", 0, here.start(2)) + 1
        yield Block(here[1], here[2], line, after[2] if after and follows else None)


class Reader:
    """Someone who types a page in, in one folder and one namespace."""

    def __init__(self, page: Path, name: str) -> None:
        self.page, self.module = page, ModuleType(name)

    def read(self) -> None:
        for block in blocks(self.page.read_text(encoding="utf-8")):
            if block.language == "python":
                self.run(block)
            elif block.language == "console":
                self.type(block)

    def run(self, block: Block) -> None:
        if name := FILE_NAME.match(block.text):
            Path(name[1]).write_text(block.text, encoding="utf-8")
        # The empty lines make the numbers in a traceback those of the page.
        code = compile("\n" * (block.line - 1) + block.text, str(self.page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, vars(self.module))
        if block.printed is not None:
            self.compare(block.line, block.printed, out.getvalue())

    def type(self, block: Block) -> None:
        for command in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
            line, _, printed = command.partition("\n")
            if not line.startswith("trnlab"):
                continue
            code, out = trnlab_command(shlex.split(line, comments=True)[1:])
            assert code == 0, f"{self.page.name}:{block.line}: {line} exits with {code}\n{out}"
            if printed.strip():
                self.compare(block.line, printed, out)

    def compare(self, line: int, want: str, got: str) -> None:
        want, got = tidy(want), tidy(got)
        same = OutputChecker().check_output(want, got, ELLIPSIS)
        assert same, f"{self.page.name}:{line} shows\n{want}\nbut prints\n{got}"


def tidy(text: str) -> str:
    """Tables pad their lines; editors take the padding away."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def trnlab_command(arguments: list[str]) -> tuple[int, str]:
    """Exit code and output of one command line."""
    from trnlab.cli import main

    out, before = io.StringIO(), sys.argv
    sys.argv = ["trnlab", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return code, out.getvalue()
    finally:
        sys.argv = before
    return 0, out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place with a copy of the examples, and a terminal of known width without colours."""
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return tmp_path


def read_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(page, f"page_{page.stem}")
    monkeypatch.setitem(sys.modules, reader.module.__name__, reader.module)
    try:
        reader.read()
    except ModuleNotFoundError as missing:
        if missing.name not in OPTIONAL:
            raise
        pytest.skip(f"{page.name} needs {missing.name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_says_what_happens(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert page.is_file(), f"{page.name} is missing"
    read_page(page, monkeypatch)


def test_blocks_share_a_namespace_and_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    page = folder / "page.md"
    page.write_text(
        "```python\n# part.py\nx = 6\nprint(x, 'a', 'b')\n```\n\n```text\n6 ... b\n```\n"
        "```python\nimport part\nassert part.x * x == 36\n```\n"
    )
    read_page(page, monkeypatch)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nx = 1\nassert x == 2\n```\n", AssertionError),
        ("```python\nprint('yes')\n```\n\n```text\nno\n```\n", AssertionError),
        ("```python\nx = 1\n```\n```text\nno\n```\n", AssertionError),
        ("```python\nimport no_such_module\n```\n", ModuleNotFoundError),
        ("```console\n$ trnlab no-such-verb\n```\n", AssertionError),
    ],
)
def test_a_wrong_page_fails(
    text: str, error: type[Exception], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    page = folder / "page.md"
    page.write_text(text)
    with pytest.raises(error):
        read_page(page, monkeypatch)


def test_help_succeeds():
    code, out = trnlab_command(["--help"])
    assert code == 0
    assert "Usage" in out
