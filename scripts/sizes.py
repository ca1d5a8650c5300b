"""
Checks that files and functions of commander/ and plugins/ stay small enough to read at once.

A file has at most 400 lines of code, a function at most 50, and nine of ten functions at most 25;
blank lines, comments and docstrings do not count, nor do the functions of a plugin.py, which are tables
of commands. `--list` prints the ten longest of each.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE = 400
MAX_FUNCTION = 50
MAX_NINTH_TENTH = 25


def docstring_lines(tree: ast.AST) -> set[int]:
    """Lines that docstrings take."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """Line numbers that hold code."""
    words = docstring_lines(tree)
    return {
        number
        for number, line in enumerate(source.splitlines(), start=1)
        if (text := line.strip()) and not text.startswith("#") and number not in words
    }


def functions(tree: ast.Module, code: set[int]) -> Iterator[tuple[int, int, str]]:
    """Each function: lines of code from its def on, line number, name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            yield len(code.intersection(span)), node.lineno, node.name


def measure() -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Files and functions with their sizes, longest first. Migrations are tables, not code to read."""
    files, all_functions = [], []
    paths = [*ROOT.glob("commander/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    for path in sorted(path for path in paths if "migrations" not in path.parts):
        source = path.read_text()
        tree = ast.parse(source)
        code = code_lines(source, tree)
        name = path.relative_to(ROOT)
        files.append((len(code), str(name)))
        if path.name == "plugin.py":
            continue
        all_functions += [
            (size, f"{name}:{line} {function}") for size, line, function in functions(tree, code)
        ]
    return sorted(files, reverse=True), sorted(all_functions, reverse=True)


def main() -> int:
    """Print what is too long; 1 when something is."""
    files, all_functions = measure()
    if "--list" in sys.argv[1:]:
        for size, name in (*files[:10], *all_functions[:10]):
            print(f"{size:4}  {name}")
        return 0
    said = [
        f"{name} has {size} lines of code; at most {MAX_FILE}"
        for size, name in files
        if size > MAX_FILE
    ]
    said += [
        f"{name} has {size} lines of code; at most {MAX_FUNCTION}"
        for size, name in all_functions
        if size > MAX_FUNCTION
    ]
    ninth, where = all_functions[len(all_functions) // 10] if all_functions else (0, "")
    if ninth > MAX_NINTH_TENTH:
        said.append(
            f"one function in ten is longer than {MAX_NINTH_TENTH} lines; {where} has {ninth}"
        )
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
