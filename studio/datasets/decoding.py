"""Bytes of a text file to text: UTF-8, UTF-16 with its mark, or CP932 as Japanese Windows writes it."""

import codecs

from studio.datasets.text import SURROGATE
from studio.errors import DatasetError

# The longer mark first: UTF-32's little-endian one begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Above this share of unreadable bytes among all but ASCII it is another encoding, or no text at all.
BROKEN_SHARE = 0.2


def decode(data: bytes) -> str:
    """The text of a file; a byte that fits nowhere becomes a lone surrogate, so that its line can be reported.

    Raises:
        DatasetError: the file is empty or is not text.
    """
    if not data.strip():
        raise DatasetError("dataset.error_empty_file")
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _not_empty(data[len(mark) :].decode(encoding, _on_error(encoding)))
    if b"\0" in data:
        raise DatasetError("dataset.error_binary_file")
    for encoding in ("utf-8", "cp932"):
        text = data.decode(encoding, "surrogateescape")
        broken = len(SURROGATE.findall(text))
        if not broken or broken <= BROKEN_SHARE * sum(byte >= 0x80 for byte in data):
            return _not_empty(text)
    raise DatasetError("dataset.error_binary_file")


def _not_empty(text: str) -> str:
    if not text.strip():
        raise DatasetError("dataset.error_empty_file")
    if "\0" in text:
        raise DatasetError("dataset.error_binary_file")
    return text


def _on_error(encoding: str) -> str:
    # surrogateescape exists for encodings of single bytes only.
    return "surrogateescape" if encoding == "utf-8" else "replace"
