"""The one file in a multipart body, as it comes in. Pure; the parser is python-multipart's."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from commander.errors import InvalidInput

# It logs pieces of what strangers send.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
FILE_PART = b"file"
MAX_PARTS = 32
MAX_OTHER_BYTES = 16 * 1024
_DISPOSITION = b"content-disposition"


class FilePart:
    """
    Feeds on a body and gives the bytes of its part named "file"; other parts are dropped.

    After the last piece `finish` says whether the body was whole.
    """

    def __init__(self, content_type: str) -> None:
        """Raises InvalidInput unless the content type is multipart/form-data with a boundary."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind.lower() != b"multipart/form-data" or not 0 < len(boundary) <= 70:
            raise InvalidInput("the upload is no multipart/form-data")
        self._pieces: list[bytes] = []
        self._parts = 0
        self._files = 0
        self._other_bytes = 0
        self._field, self._value = bytearray(), bytearray()
        self._name = b""
        self._is_over = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._add_field,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
            max_header_count=8,
            max_header_size=1024,
        )

    def receive(self, data: bytes) -> bytes:
        """The file's bytes within the next piece of the body. Raises InvalidInput."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidInput(f"the upload is malformed: {type(error).__name__}") from None
        found = b"".join(self._pieces)
        self._pieces.clear()
        return found

    def finish(self) -> None:
        """Raise InvalidInput unless the body ended where it should, with one file in it."""
        if not self._is_over or self._files != 1:
            raise InvalidInput("the upload is cut off, or holds no file")

    def _begin(self) -> None:
        self._parts += 1
        self._name = b""
        if self._parts > MAX_PARTS:
            raise InvalidInput(f"the upload has more than {MAX_PARTS} parts")

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if bytes(self._field).lower() == _DISPOSITION:
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"")
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        self._files += self._name == FILE_PART

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE_PART and self._files == 1:
            self._pieces.append(bytes(data[start:end]))
            return
        self._other_bytes += end - start
        if self._other_bytes > MAX_OTHER_BYTES:
            raise InvalidInput(f"other parts of the upload have more than {MAX_OTHER_BYTES} bytes")

    def _end(self) -> None:
        self._is_over = True
