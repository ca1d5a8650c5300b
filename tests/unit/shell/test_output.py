from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import UsageError
from commander.plugin.results import (
    Column,
    Document,
    Done,
    Exited,
    Plain,
    Shape,
    Table,
    Text,
    Unchanged,
)
from commander.shell.output.gate import UNSAFE
from commander.shell.output.machine import Shown, render_csv, render_json, render_yaml, to_plain
from commander.shell.output.render import Wanted, choose_columns, render, shown_part
from commander.shell.output.tables import MAX_CELL, render_plain, render_rich, text_width
from commander.shell.output.values import duration_text, for_people, for_scripts, size_text
from commander.shell.terminal import Terminal
from tests.unit.shell.test_gate import ATTACKS

TABLE = Table(
    (
        Column("record_uid"),
        Column("title"),
        Column("bytes_in", "In", Shape.SIZE),
        Column("since", shape=Shape.TIME),
        Column("up", shape=Shape.DURATION),
        Column("host", detail=True),
    ),
    [
        {"record_uid": "u1", "title": "[red]Café", "bytes_in": 1536, "since": 0, "up": 3700},
        {"record_uid": "u2", "title": "中文", "bytes_in": 2, "since": None, "host": "db"},
    ],
)
PIPE, SCREEN = Terminal(), Terminal(stdout=True, width=100)


def attacked() -> Table:
    rows: list[Mapping[str, Plain]] = [{"title": attack} for attack in ATTACKS]
    return Table((Column("title"),), rows, title="\x1b[2J", empty="\x1b[2J")


def test_json_is_one_document_with_exact_values() -> None:
    """Keys are stable, times ISO 8601 UTC, sizes bytes, durations seconds, gaps null."""
    assert json.loads(render_json(TABLE)) == [
        {"record_uid": "u1", "title": "[red]Café", "bytes_in": 1536,
         "since": "1970-01-01T00:00:00Z", "up": 3700, "host": None},
        {"record_uid": "u2", "title": "中文", "bytes_in": 2, "since": None, "up": None,
         "host": "db"},
    ]  # fmt: skip


def test_every_kind_of_result_has_its_data() -> None:
    """Documents, texts and changes have a form for scripts."""
    document = Document({"at": 0, "n": 1}, shapes={"at": Shape.TIME}, text="for people")

    assert to_plain(document) == {"at": "1970-01-01T00:00:00Z", "n": 1}
    assert to_plain(Text("x")) == {"text": "x"}
    assert to_plain(Done("made", {"uid": "u"})) == {
        "status": "done", "message": "made", "uid": "u",
    }  # fmt: skip
    assert render_plain(Done("made")) == "made\n"
    assert render_plain(Unchanged("was there")) == "unchanged: was there\n"
    assert to_plain(Unchanged("was there")) == {"status": "unchanged", "message": "was there"}
    assert shown_part(Exited(3, Text("x"))) == Text("x")
    assert shown_part(None) is None


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_json_and_yaml_read_back(values: dict[str, str]) -> None:
    """Any text survives both formats, and neither holds a character that acts on a terminal."""
    result = Document(values)
    as_json, as_yaml = render_json(result), render_yaml(result)

    assert json.loads(as_json) == values
    assert not UNSAFE.search(as_json.replace("\n", ""))
    assert not UNSAFE.search(as_yaml.replace("\n", ""))
    assert yaml.safe_load(as_yaml) == values


def test_yaml_keeps_types_and_order() -> None:
    """Texts that look like other types are quoted; lists and mappings nest."""
    result = Document({"z": "yes", "a": ["1", 1, None], "m": {"x": "\x1b\U000e0041é"}})

    assert yaml.safe_load(render_yaml(result)) == result.values
    assert render_yaml(result).index("z:") < render_yaml(result).index("a:")


def test_csv_reads_back() -> None:
    """A header of keys, then rows; lists are JSON, booleans true and false."""
    table = Table((Column("a"), Column("b")), [{"a": 'x"y\nz', "b": ["1", 2]}, {"a": True}])
    rows = list(csv.reader(io.StringIO(render_csv(table), newline="")))

    assert rows == [["a", "b"], ['x"y\nz', '["1", 2]'], ["true", ""]]
    assert render_csv(Document({"k": 1, "l": "v"})) == "k,l\r\n1,v\r\n"


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_b050_csv_cells_are_never_formulas(start: str) -> None:
    """Text that a spreadsheet would run gets an apostrophe; numbers stay numbers."""
    table = Table((Column("a"),), [{"a": start}, {"a": -5}])
    rows = list(csv.reader(io.StringIO(render_csv(table), newline="")))

    assert rows[1] == ["'" + start]
    assert rows[2] == ["-5"]


def test_a_text_has_no_csv() -> None:
    """What has no values cannot be CSV, and says what can."""
    with pytest.raises(UsageError, match="no CSV form"):
        render_csv(Text("x"))


def test_plain_table_is_aligned_by_width() -> None:
    """Columns line up, wide letters count two, details are left out, values are short."""
    assert render_plain(TABLE) == (
        "Record UID  Title      In       Since                 Up\n"
        "----------  ---------  -------  --------------------  -----\n"
        "u1          [red]Café  1.5 KiB  1970-01-01T00:00:00Z  1h 1m\n"
        "u2          中文       2 B\n"
    )


@pytest.mark.parametrize("width", [20, 80, 1000])
@pytest.mark.parametrize("colour", [False, True])
def test_rich_table_shows_markup_as_text(width: int, colour: bool) -> None:
    """Square brackets are not markup; escapes appear only with colour."""
    table = Table((Column("t"),), [{"t": "[red]x[/]"}])
    text = render_rich(table, width=width, colour=colour)

    assert "[red]x[/]" in text
    assert ("\x1b[" in text) is colour


@pytest.mark.parametrize("terminal", [PIPE, SCREEN, Terminal(stdout=True, is_dumb=True)])
@pytest.mark.parametrize("format", ["table", "json", "yaml", "csv"])
def test_b027_no_result_acts_on_a_terminal(terminal: Terminal, format: str) -> None:
    """Titles from a hostile peer are escaped in every form that a terminal may show."""
    if format == "csv" and not terminal.stdout:
        return
    shown: list[Shown] = [
        attacked(),
        Table((Column("\x1b[2J"),), []),
        Document({"\x1b[2J": "\x9b2J"}, title="\x1b[2J"),
        Document({}, text="\x1b[2J"),
        Done("\x1b[2J", {}),
    ]
    for result in shown:
        text = render(result, Wanted(format=format), terminal)
        assert not UNSAFE.search(text.replace("\n", "")), (format, result)


def test_a_huge_cell_is_cut_for_people_only() -> None:
    """A 64 KiB title does not flood a table; scripts get all of it."""
    table = Table((Column("t"),), [{"t": "x" * 65536}])

    assert len(render_plain(table)) < 3 * MAX_CELL + 10
    assert len(json.loads(render_json(table))[0]["t"]) == 65536


def test_no_rows() -> None:
    """An empty table says so to people and is an empty list for scripts."""
    empty = Table((Column("a"),), [], empty="no tunnels are open")

    assert render_plain(empty) == "no tunnels are open\n"
    assert render_rich(empty, width=80, colour=False) == "no tunnels are open\n"
    assert json.loads(render_json(empty)) == []
    assert render_csv(empty) == "a\r\n"
    assert render_plain(Table((Column("a"),), [])) == ""


def test_columns_are_chosen_by_key_or_title() -> None:
    """--columns picks and orders, case aside, in every format, details included."""
    wanted = Wanted(format="json", columns=("HOST", "in"))

    assert json.loads(render(TABLE, wanted, PIPE))[1] == {"host": "db", "bytes_in": 2}
    assert "Host" in render(TABLE, Wanted(columns=("host",)), PIPE)
    assert to_plain(choose_columns(Document({"a": 1, "b": 2}), ["b"])) == {"b": 2}
    for bad in (TABLE, Document({"a": 1}), Text("x")):
        with pytest.raises(UsageError):
            choose_columns(bad, ["nope"])


def test_documents_for_people() -> None:
    """Names and values line up; a text made for people wins."""
    document = Document({"server_url": "s", "up": 90, "on": True}, shapes={"up": Shape.DURATION})

    assert render_plain(document) == "server url : s\nup         : 1m 30s\non         : yes\n"
    assert render_plain(Document({"a": 1}, text="banner")) == "banner\n"
    assert render_plain(Text("a\nb")) == "a\nb\n"
    assert render_plain(Text("")) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1024**2 * 1.5, "1.5 MiB"),
     (1024**4, "1.0 TiB"), (1024**6, "1048576.0 TiB")],
)  # fmt: skip
def test_sizes(size: float, text: str) -> None:
    """Bytes in the unit that reads best."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (65, "1m 5s"), (7260, "2h 1m"), (90000, "1d 1h")],
)
def test_durations(seconds: float, text: str) -> None:
    """Seconds in the two units that matter."""
    assert duration_text(seconds) == text


def test_values_that_do_not_fit_their_shape() -> None:
    """A time beyond the calendar and a text in a time column come through as they are."""
    assert for_scripts(10**15, Shape.TIME) == 10**15
    assert for_scripts("soon", Shape.TIME) == "soon"
    assert for_people("soon", Shape.SIZE) == "soon"
    assert for_people(["a", {"k": None}]) == "a, k="


def test_width_of_text() -> None:
    """Combining marks take no column, East Asian letters two."""
    assert text_width("e\u0301中a") == 4


def test_a_document_has_parts_of_many_rows() -> None:
    """People see each part as a table below the values, scripts as a list under its key."""
    streams = Table(
        (Column("pid"), Column("bytes_in", shape=Shape.SIZE)), [{"pid": 7, "bytes_in": 2048}]
    )
    none = Table((Column("pid"),), [], empty="No links.")
    document = Document({"path": "relay"}, tables={"streams": streams, "links": none})

    assert to_plain(document) == {
        "path": "relay", "streams": [{"pid": 7, "bytes_in": 2048}], "links": [],
    }  # fmt: skip
    lines = render_plain(document).splitlines()
    assert lines[0] == "path : relay"
    assert lines[2].split() == ["Pid", "Bytes", "In"]
    assert lines[4].split() == ["7", "2.0", "KiB"]
    assert lines[-1] == "No links."
    assert "2.0 KiB" in render_rich(document, width=80, colour=False)
    assert to_plain(choose_columns(document, ["path"])) == {"path": "relay"}
    assert json.loads(render_json(document, one_line=True)) == to_plain(document)
    assert render_json(document, one_line=True).count("\n") == 1
