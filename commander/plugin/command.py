"""
How a command is declared: data only; parser, help, completion and checks come from it.

    Command(
        path="pam tunnel start",
        aliases=("pam t start",),
        summary="open a tunnel to a record's target",
        example='pam tunnel start "Orders DB" --port 15432',
        arguments=(
            positional("record", kind=ArgumentKind.RECORD, help="UID, title or path"),
            option("--port", "-p", kind=ArgumentKind.PORT, help="local port, exactly this one"),
            flag("--new", help="open another one beside a live tunnel"),
        ),
        handler="plugins.pam.tunnel.start:start",
        needs_login=True,
    )

    async def start(context: Context, arguments: Arguments) -> Result | None:
        record = arguments.text("record")
        port = arguments.integer_or_none("port")
        anew = arguments.flag("new")

The handler is imported when the command first runs, so declaring costs no start-up time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

OUTPUT_FORMATS = ("table", "json", "csv", "yaml")


class ArgumentKind(Enum):
    """What a value is: decides how it is checked and what completion offers for it."""

    TEXT = "text"
    INT = "int"
    PORT = "port"  # 1..65535, as int
    DURATION = "duration"  # 90, 90s, 15m, 8h, 30d: seconds, as int
    FLAG = "flag"  # present or not, takes no value
    CHOICE = "choice"  # one of `choices`
    PATH = "path"  # a file of this machine
    FIELD = "field"  # FIELD=VALUE of a record
    RECORD = "record"
    FOLDER = "folder"
    GATEWAY = "gateway"
    APPLICATION = "application"
    ROLE = "role"
    USER = "user"
    TEAM = "team"
    CONFIGURATION = "configuration"
    TUNNEL = "tunnel"
    RECORD_TYPE = "record-type"
    ENFORCEMENT = "enforcement"
    VARIABLE = "variable"
    COMMAND = "command"
    REST = "rest"  # every word after `--`, untouched


@dataclass(frozen=True)
class Argument:
    """
    One flag or positional of a command.

    `names` are all spellings: either flags ("--host", "-o") or one positional
    name ("record"). A handler reads the value by `key`. `secret` values never
    enter the history, the log or an error message; a secret flag still warns the
    user, because a command line is visible to others: offer `--...-file` beside it.
    """

    names: tuple[str, ...]
    kind: ArgumentKind = ArgumentKind.TEXT
    help: str = ""
    default: str | int | None = None
    required: bool = False
    repeat: bool = False
    choices: tuple[str, ...] = ()
    metavar: str = ""
    secret: bool = False

    @property
    def is_positional(self) -> bool:
        """Whether it is found by its place, not by a flag."""
        return not self.names[0].startswith("-")

    @property
    def key(self) -> str:
        """The name a handler reads it by: the first long flag, `-` written as `_`."""
        long = [name for name in self.names if name.startswith("--")]
        return (long or list(self.names))[0].lstrip("-").replace("-", "_")


def flag(*names: str, help: str) -> Argument:
    """Declare a flag without a value."""
    return Argument(names=names, kind=ArgumentKind.FLAG, help=help)


def option(
    *names: str,
    help: str,
    kind: ArgumentKind = ArgumentKind.TEXT,
    default: str | int | None = None,
    required: bool = False,
    repeat: bool = False,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    secret: bool = False,
) -> Argument:
    """Declare a flag with a value; `choices` alone makes it a CHOICE."""
    if choices and kind is ArgumentKind.TEXT:
        kind = ArgumentKind.CHOICE
    return Argument(names, kind, help, default, required, repeat, choices, metavar, secret)


def positional(
    name: str,
    *,
    help: str,
    kind: ArgumentKind = ArgumentKind.TEXT,
    default: str | int | None = None,
    required: bool = True,
    repeat: bool = False,
    choices: tuple[str, ...] = (),
    metavar: str = "",
    secret: bool = False,
) -> Argument:
    """Declare a value found by its place; `repeat` takes all that follow (one, if required)."""
    if choices and kind is ArgumentKind.TEXT:
        kind = ArgumentKind.CHOICE
    return Argument((name,), kind, help, default, required, repeat, choices, metavar, secret)


@dataclass(frozen=True)
class Command:
    """
    One command, by its full path of words.

    `aliases` are other full paths for it ("l", "sf"); groups get theirs by
    `Group`. `example` is a line that works. `handler` is "module:function" of
    an `async (context, arguments) -> Result | None`.

    The shell adds `-h` and `--format` to each command (unless it declares a
    `--format` of its own), `--output`, `--force` and `--columns` to a `listing`,
    and `-f/--force` to a `destructive` one: without a terminal that one is refused
    unless forced, and its handler asks
    `context.console.confirm(question, force=arguments.flag("force"))` before it acts.
    `exclusive` names sets of argument keys of which one at most may be given.
    """

    path: str
    summary: str
    example: str
    handler: str
    aliases: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    needs_login: bool = True
    destructive: bool = False
    listing: bool = False
    description: str = ""
    # Run by --dry-run too, because it changes nothing outside this shell (`set`).
    runs_dry: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The path as words."""
        return tuple(self.path.split())


@dataclass(frozen=True)
class Group:
    """
    A word path that only leads to commands, with its aliases ("secrets-manager" as "sm").

    A group need not be declared to exist; declaring gives it a summary and aliases.
    """

    path: str
    summary: str
    aliases: tuple[str, ...] = ()


Value = str | int | bool | tuple[str, ...] | tuple[int, ...] | None


class Arguments:
    """
    The parsed values of one call, read by key; a wrong key or type is a bug and raises.

    `format` is the output format of this call: table, json, csv or yaml.
    """

    def __init__(self, values: Mapping[str, Value], *, format: str = "table") -> None:
        self._values = dict(values)
        self.format = format

    def text(self, key: str) -> str:
        """A text that is there: a required argument, or one with a default."""
        value = self._values[key]
        assert isinstance(value, str), f"{key} is not a text"
        return value

    def text_or_none(self, key: str) -> str | None:
        """A text, or None when it was not given."""
        value = self._values[key]
        assert value is None or isinstance(value, str), f"{key} is not a text"
        return value

    def integer(self, key: str) -> int:
        """A whole number (INT, PORT, DURATION) that is there."""
        value = self._values[key]
        assert type(value) is int, f"{key} is not a number"
        return value

    def integer_or_none(self, key: str) -> int | None:
        """A whole number, or None when it was not given."""
        return None if self._values[key] is None else self.integer(key)

    def flag(self, key: str) -> bool:
        """Whether a flag was given."""
        value = self._values[key]
        assert isinstance(value, bool), f"{key} is not a flag"
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """All texts of a repeated argument or of REST; empty when none was given."""
        value = self._values[key]
        assert isinstance(value, tuple), f"{key} is not repeated"
        return tuple(str(item) for item in value)

    def integers(self, key: str) -> tuple[int, ...]:
        """All numbers of a repeated argument; empty when none was given."""
        value = self._values[key]
        assert isinstance(value, tuple), f"{key} is not repeated"
        return tuple(int(item) for item in value)

    def was_given(self, key: str) -> bool:
        """Whether the user gave it (or it has a default)."""
        return self._values[key] not in (None, False, ())
