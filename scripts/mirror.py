"""
Checks that each module of commander/ has its own test file, named as the module is.

commander/<room>/<module>.py         tests/unit/<room>/test_<module>.py, or for glue to the outside
                                     tests/integration/<room>/test_<module>.py
commander/<room>/<part>/<module>.py  the same with <room>/<part>, or test_<part>_<module>.py in <room>
commander/<module>.py                room "ground"

Modules without one stand in scripts/mirror_exceptions.txt with a reason. That list may only shrink:
an entry whose module has a test file by now, or is gone, fails as well. `--list` prints the missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "scripts" / "mirror_exceptions.txt"
# A module of fewer lines of code than this has nothing to test: it names or re-exports.
LEAST_CODE_LINES = 4


def modules() -> list[Path]:
    """Modules that must have a test file, relative to commander/."""
    package = ROOT / "commander"
    found = (path for path in package.rglob("*.py") if path.name != "__init__.py")
    return sorted(
        path.relative_to(package)
        for path in found
        if "migrations" not in path.parts and code_lines(path) >= LEAST_CODE_LINES
    )


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor a comment; docstrings count, so this is generous."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return sum(1 for line in lines if line and not line.startswith("#"))


def test_files(module: Path) -> list[Path]:
    """Where the tests of a module may be."""
    folder, name = module.parent, module.stem
    if folder == Path("."):
        names = [Path("ground") / f"test_{name}.py", Path(f"test_{name}.py")]
    else:
        names = [folder / f"test_{name}.py"]
        if len(folder.parts) > 1:
            part = "_".join(folder.parts[1:])
            names += [Path(folder.parts[0]) / f"test_{part}_{name}.py"]
            names += [Path(folder.parts[0]) / f"test_{name}.py"]
    return [ROOT / "tests" / kind / test for kind in ("unit", "integration") for test in names]


def exceptions() -> set[str]:
    """Module paths of the exceptions list; text after # is the reason."""
    lines = EXCEPTIONS.read_text().splitlines() if EXCEPTIONS.exists() else []
    return {name for line in lines if (name := line.partition("#")[0].strip())}


def main() -> int:
    """Compare the tree with the list; 1 when they disagree."""
    missing = {
        str(module) for module in modules() if not any(path.exists() for path in test_files(module))
    }
    if "--list" in sys.argv[1:]:
        print("\n".join(sorted(missing)))
        return 0
    excused = exceptions()
    for name in sorted(missing - excused):
        print(f"commander/{name} has no test file; expected tests/unit/ as scripts/mirror.py says")
    for name in sorted(excused - missing):
        print(f"{name} needs no exception any more: delete its line in {EXCEPTIONS.name}")
    return 1 if missing ^ excused else 0


if __name__ == "__main__":
    sys.exit(main())
