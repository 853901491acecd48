"""Prints the longest files and functions, and fails when one is beyond its limit.

Lengths are physical lines, docstrings and comments included; a function counts from its `def`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FILE_LIMIT = 300
FUNCTION_LIMIT = 60
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Length:
    """One file or function and its number of lines."""

    lines: int
    where: str


def sources() -> list[Path]:
    """The Python files that git tracks or would track, in order of path."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in map(Path, sorted(set(listing.stdout.splitlines()))) if path.exists()]


def function_lengths(path: Path, text: str) -> list[Length]:
    """Every function and method of one file."""
    return [
        Length(node.end_lineno - node.lineno + 1, f"{path}:{node.lineno} {node.name}")
        for node in ast.walk(ast.parse(text, str(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    ]


def report(noun: str, lengths: list[Length], limit: int) -> bool:
    """Prints the longest few and all that are too long; true when none is."""
    ranked = sorted(lengths, key=lambda length: (-length.lines, length.where))
    too_long = [length for length in ranked if length.lines > limit]
    print(f"{len(ranked)} {noun}s, {sum(length.lines for length in ranked)} lines; the longest:")
    for length in ranked[: max(SHOWN, len(too_long))]:
        mark = f"  over {limit}" if length.lines > limit else ""
        print(f"  {length.lines:4d}  {length.where}{mark}")
    return not too_long


def main() -> int:
    """The exit status: 0 when everything is within its limit."""
    texts = {path: path.read_text(encoding="utf-8") for path in sources()}
    files = [Length(len(text.splitlines()), str(path)) for path, text in texts.items()]
    functions = [length for path, text in texts.items() for length in function_lengths(path, text)]
    files_fit = report("file", files, FILE_LIMIT)
    functions_fit = report("function", functions, FUNCTION_LIMIT)
    return 0 if files_fit and functions_fit else 1


if __name__ == "__main__":
    sys.exit(main())
