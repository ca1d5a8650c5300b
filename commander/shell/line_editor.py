"""
The line being typed, with prompt_toolkit; everything decided is decided in pure modules.

Imports prompt_toolkit: reach it only through `repl`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER, EditingMode
from prompt_toolkit.filters import has_focus, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History as ToolkitHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style as ToolkitStyle

from commander.plugin.registry import Registry
from commander.shell.completion import Sources, complete
from commander.shell.highlight import Style, highlight
from commander.shell.history import History
from commander.shell.lexer import OpenEnd, scan_line
from commander.shell.output.gate import escape_line

_STYLES = {
    Style.COMMAND: "bold",
    Style.FLAG: "ansicyan",
    Style.VALUE: "ansigreen",
    Style.VARIABLE: "ansimagenta",
    Style.COMMENT: "ansibrightblack",
    Style.SECRET: "ansibrightblack",
    Style.WRONG: "ansired",
    Style.TEXT: "",
}


class LineEditor:
    """Reads lines on the terminal. `read` raises KeyboardInterrupt and EOFError as typed."""

    def __init__(
        self,
        registry: Registry,
        sources: Sources,
        history: History,
        status: Callable[[], str],
        *,
        use_vi: bool,
        use_colour: bool,
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            completer=CommandCompleter(registry, sources),
            lexer=_Lexer(registry) if use_colour else None,
            history=_Lines(history),
            bottom_toolbar=status,
            style=ToolkitStyle.from_dict({"bottom-toolbar": "noreverse ansibrightblack"}),
            key_bindings=_key_bindings(),
            editing_mode=EditingMode.VI if use_vi else EditingMode.EMACS,
            complete_while_typing=False,
            enable_history_search=True,
            multiline=True,
            prompt_continuation="... ",
        )

    async def read(self, prompt: str) -> str:
        """One line; what other tasks print meanwhile appears above it."""
        with patch_stdout():
            text = await self._session.prompt_async(prompt)
        return join_continued(text)


def join_continued(text: str) -> str:
    """Take out the backslash-newline pairs that continue a line."""
    return text.replace("\\\n", "")


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    # Not while searching: there Enter takes what was found into the line.
    @bindings.add("enter", filter=has_focus(DEFAULT_BUFFER) & ~is_searching)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if isinstance(scan_line(join_continued(buffer.text)).problem, OpenEnd):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    # A stopped session would leave its tunnels without a sign of life; unbound, the key is typed.
    @bindings.add("c-z")
    def _(event: KeyPressEvent) -> None:
        event.app.output.bell()

    return bindings


class CommandCompleter(Completer):
    """`completion.complete` as prompt_toolkit asks for it; what it shows is escaped."""

    def __init__(self, registry: Registry, sources: Sources) -> None:
        self._registry = registry
        self._sources = sources

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Candidates for the word before the cursor."""
        text, cursor = document.text, document.cursor_position
        for candidate in complete(text, cursor, self._registry, self._sources):
            yield Completion(
                candidate.text,
                start_position=candidate.start - cursor,
                display=escape_line(candidate.shown),
                display_meta=escape_line(candidate.description),
            )


class _Lexer(Lexer):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        def line_styles(number: int) -> StyleAndTextTuples:
            # Colours of a continued line would need the lines before it: plain is enough there.
            line = document.lines[number]
            if len(document.lines) > 1:
                return [("", line)]
            return _styled(line, self._registry)

        return line_styles


def _styled(line: str, registry: Registry) -> StyleAndTextTuples:
    pieces: StyleAndTextTuples = []
    at = 0
    for span in highlight(line, registry):
        pieces.append(("", line[at : span.start]))
        pieces.append((_STYLES[span.style], line[span.start : span.end]))
        at = span.end
    pieces.append(("", line[at:]))
    return pieces


class _Lines(ToolkitHistory):
    """Our history as prompt_toolkit reads it; what is kept is decided when a line is run."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    async def load(self) -> AsyncGenerator[str, None]:
        for line in reversed(self._history.lines()):
            yield line

    def get_strings(self) -> list[str]:
        return self._history.lines()

    def append_string(self, string: str) -> None:
        """Nothing: the session adds lines, after it has looked for secrets in them."""

    def load_history_strings(self) -> Iterable[str]:
        return reversed(self._history.lines())

    def store_string(self, string: str) -> None:
        """Nothing, as above."""
