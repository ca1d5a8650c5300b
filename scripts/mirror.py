"""
Checks that each module of commander/ has its own test file, named as the module is.

commander/<room>/<module>.py         tests/unit/<room>/test_<module>.py, or for glue to the outside
                                     tests/integration/<room>/test_<module>.py
commander/<room>/<part>/<module>.py  the same with <room>/<part>, or test_<part>_<module>.py in <room>
commander/<module>.py                room "ground"

With --coverage (after a coverage run of the unit tests) a module of the pure rooms must moreover be
covered, lines and branches, by that test file alone: what only others happen to run is not tested.

Exceptions stand in scripts/mirror_exceptions.txt, one a line: "MODULE untested" or "MODULE 93", the
per cent its own tests reach. That list may only shrink: an entry that is no longer needed fails as well.
--list prints what the list would be now.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "scripts" / "mirror_exceptions.txt"
# A module of fewer lines of code than this has nothing to test: it names or re-exports.
LEAST_CODE_LINES = 4
# What decides without IO, and so can be covered whole.
PURE = (
    "authority/", "audit/", "crypto/", "diagnosis/failures", "diagnosis/report", "hosting/ends", "ksm/",
    "metrics/definitions", "metrics/histogram", "wire/", "tunnel/addresses", "tunnel/buffers", "tunnel/codes",
    "tunnel/frames", "tunnel/handshake", "tunnel/keys", "tunnel/mux", "tunnel/schedule",
    "tunnel/seal", "tunnel/transports/direct_offer", "tunnel/transports/framing", "tunnel/transports/sdp",
)  # fmt: skip
UNTESTED = "untested"


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


def untested() -> dict[str, str]:
    """Modules without a test file."""
    return {
        str(module): UNTESTED
        for module in modules()
        if not any(path.exists() for path in test_files(module))
    }


def covered_partly() -> dict[str, str]:
    """Pure modules that their own test file does not cover whole: module to whole per cent."""
    measured = Coverage(config_file=str(ROOT / "setup.cfg"))
    measured.load()
    found = {}
    for module in modules():
        own = [path for path in test_files(module) if path.exists()]
        if own and str(module).startswith(PURE):
            reached = own_coverage(measured, ROOT / "commander" / module, own)
            if reached < 100:
                found[str(module)] = str(int(reached))
    return found


def own_coverage(measured: Coverage, module: Path, tests: list[Path]) -> float:
    """Per cent of lines and branches that the tests in these files run; importing counts for all."""
    contexts = ["^$", *(f"^{re.escape(str(test.relative_to(ROOT)))}$" for test in tests)]
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        measured.json_report(morfs=[str(module)], outfile=report.name, contexts=contexts)
        totals = json.loads(Path(report.name).read_bytes())["totals"]
    return float(totals["percent_covered"])


def exceptions() -> dict[str, str]:
    """The exceptions list; text after # is the reason."""
    lines = EXCEPTIONS.read_text().splitlines() if EXCEPTIONS.exists() else []
    words = (line.partition("#")[0].split() for line in lines)
    return {entry[0]: entry[1] for entry in words if entry}


def problems(found: dict[str, str], excused: dict[str, str]) -> list[str]:
    """Where the tree is worse than the list, or the list worse than the tree."""
    said = []
    for module, state in sorted(found.items()):
        if module not in excused and state == UNTESTED:
            said.append(f"commander/{module} has no test file (scripts/mirror.py says where)")
        elif module not in excused:
            said.append(f"commander/{module} is covered {state}% by its own test file; must be 100")
        elif state.isdigit() and excused[module].isdigit() and int(state) < int(excused[module]):
            said.append(f"commander/{module} fell from {excused[module]}% to {state}%")
    said += [
        f"{module} needs no exception any more: delete its line in {EXCEPTIONS.name}"
        for module in sorted(excused.keys() - found.keys())
    ]
    return said


def main() -> int:
    """Compare the tree with the list; 1 when they disagree."""
    arguments = set(sys.argv[1:])
    found = covered_partly() if "--coverage" in arguments else untested()
    excused = {
        module: state
        for module, state in exceptions().items()
        if (state == UNTESTED) == ("--coverage" not in arguments)
    }
    if "--list" in arguments:
        print("\n".join(f"{module} {state}" for module, state in sorted(found.items())))
        return 0
    said = problems(found, excused)
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
