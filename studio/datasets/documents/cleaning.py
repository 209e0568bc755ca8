"""Takes out of an article what nobody would read aloud: front matter, wiki and HTML leftovers, footnotes, link targets.

Every step is linear in the length of the text, whatever the text is. It must not know where articles come from.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape

from studio.datasets.text import excerpt

LONGEST_TITLE = 200
MOST_FRONT_MATTER_LINES = 200
# Links and templates nest a few levels deep; text full of brackets must not cost more than its length.
DEEPEST = 20
LONGEST_KEPT_TEMPLATE = 300

_FRONT_MATTER_LINE = re.compile(r"\s*$|\s*#|\s+\S|-\s|[\]}]|[\w.\-\"' ]+[:=]")
_FRONT_MATTER_TITLE = re.compile(r"(?m)^title\s*[:=]\s*(.+)$")
_DROPPED_TAGS = "ref|gallery|timeline|imagemap|score|style|script"
_TOKEN = re.compile(
    r"(?P<comment><!--)|(?P<template>\{\{)|(?P<link>\[\[)|(?P<table>^[ \t:]*\{\|)"
    rf"|<(?P<tag>{_DROPPED_TAGS})\b[^<>]*(?<!/)>"
    r"|(?P<end_comment>-->)|(?P<end_template>\}\})|(?P<end_link>\]\])|(?P<end_table>^[ \t]*\|\}(?!\}))"
    rf"|</(?P<end_tag>{_DROPPED_TAGS})\s*>",
    re.MULTILINE | re.IGNORECASE,
)
# An interlanguage link is lower case: [[Re:ゼロから始める異世界生活]] is a work.
_MEDIA = re.compile(r"(?:(?i:file|image|media|category)|ファイル|画像|メディア|カテゴリ|[a-z]{2,3}(?:-[a-z]+)?):")
# {{lang|en|Gintama}} and its like hold words of the sentence; the number is that of the parameter.
_TEMPLATE_WORDS = {"lang": "{1}", "仮リンク": "{0}", "nowrap": "{0}", "読み仮名": "{0}（{1}）", "ruby": "{0}（{1}）"}

_TAGS = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|del|div|dl|dt|em|figcaption|figure|font|h[1-6]|hr|i|img|includeonly"
    "|ins|kbd|li|math|noinclude|nowiki|ol|onlyinclude|p|poem|pre|rb|ref|references|rp|rt|ruby|s|section|small|span"
    "|strong|sub|sup|table|tbody|td|templatestyles|th|thead|tr|tt|u|ul|var|wbr"
)
# Footnotes count from 1, the elements of a list from 0.
_MARK = (
    r"\\?\[(?:[1-9]\d{0,2}|(?:注釈?|註|脚注|出典|note|nb|n)\s?\d{0,3}|要[^\[\]\n]{1,12}|[^\[\]\n]{0,6}[?？]"
    r"|編集|独自研究|疑問点)\\?\]"
)
# A reference mark or an edit link that a converter made a Markdown link of: [[1]](#cite_note-1).
_LINKED_MARK = re.compile(rf"\[(?:{_MARK}|\^)\]\([^()\s]*\)")
# Each with a character that it needs: most articles hold few of them, and looking for one is nearly free.
_PATTERNS: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    ("<", re.compile(r"(?i)<br\s*/?>"), "\n"),
    ("<", re.compile(rf"(?i)</?(?:{_TAGS})\b[^<>]*>"), ""),
    ("](", re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"), ""),
    ("](", re.compile(r"\[([^\[\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)"), r"\1"),
    ("//", re.compile(r"\[(?:https?:)?//[^\s\[\]]+(?:[ \t]([^\[\]\n]*))?\]"), r"\1"),
    ("]:", re.compile(r"(?m)^\[[^\[\]\n]{1,40}\]:[ \t].*$"), ""),
    ("[^", re.compile(r"\[\^[^\[\]\s]{1,40}\]"), ""),
    ("[", re.compile(_MARK), ""),
    ("''", re.compile(r"'{2,5}"), ""),
    ("__", re.compile(r"__(?:NO)?(?:TOC|INDEX|GALLERY|EDITSECTION|FORCETOC|DISAMBIG|HIDDENCAT)__"), ""),
    ("&", re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10}\d{0,2});"), lambda found: unescape(found[0])),
    ("", re.compile("[\u200b\u200e\u200f\u2060\ufeff\u00ad]"), ""),
    ("", re.compile("[\u00a0\u2002\u2003\u2009]"), " "),
    # What a dropped reading leaves behind.
    ("（", re.compile(r"（[\s、,;；]{0,20}）"), ""),
    ("(", re.compile(r"(?<=[^\x00-\x7f])\([\s、,;]{0,20}\)"), ""),
)
_LEFTOVER_LINE = re.compile(
    r"出典[:：] ?フリー百科事典.*|(?:(?:ナビゲーション|検索)に移動\s*)+|#(?:redirect|転送)\b.*|カテゴリ[:：].*",
    re.IGNORECASE,
)
_HEADING = re.compile(r"(#{1,6}) (.*)")
# Sections of sources and links: names without a sentence.
_FOOTERS = {
    *(
        "脚注",
        "注釈",
        "註釈",
        "注",
        "出典",
        "脚注・出典",
        "注釈・出典",
        "参考文献",
        "関連項目",
        "外部リンク",
        "関連リンク",
    ),
    *("references", "external links", "see also", "notes", "further reading"),
}


@dataclass(frozen=True)
class Cleaned:
    """An article as it is trained on. `changed` is False where cleaning found nothing but outer white space."""

    title: str
    text: str
    changed: bool


def clean_article(raw: str, name: str) -> Cleaned:
    """Clean a text; its title is that of its front matter or its first heading, else `name`."""
    raw = raw.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").strip()
    title, text = _without_front_matter(raw)
    if "](" in text:
        text = _LINKED_MARK.sub("", text)
    text = _without_markup(text)
    for needed, pattern, replacement in _PATTERNS:
        if needed in text:
            text = pattern.sub(replacement, text)
    text = _tidy(text)
    title = title or _first_heading(text) or name
    return Cleaned(excerpt(title.strip(), LONGEST_TITLE), text, changed=text != raw)


def _without_front_matter(text: str) -> tuple[str, str]:
    """The title in a YAML or TOML block at the start, and the text after it."""
    lines = text.split("\n", MOST_FRONT_MATTER_LINES)
    fence = lines[0].rstrip()
    if fence not in ("---", "+++"):
        return "", text
    for at, line in enumerate(lines[1:], start=1):
        if line.rstrip() in (fence, "..."):
            found = _FRONT_MATTER_TITLE.search("\n".join(lines[1:at]))
            return found[1].strip().strip("\"'") if found else "", "\n".join(lines[at + 1 :])
        # Two rules with prose between them are no front matter.
        if not _FRONT_MATTER_LINE.match(line):
            break
    return "", text


def _without_markup(text: str) -> str:
    """Drop comments, templates, tables, media and footnotes, and keep the words of links, in one pass.

    What is opened and never closed stays as it is.
    """
    written: list[str] = []
    opened: list[tuple[str, int]] = []
    end = 0
    for found in _TOKEN.finditer(text):
        written.append(text[end : found.start()])
        end = found.end()
        kind = str(found.lastgroup)
        token = found[0]
        if not kind.startswith("end_"):
            opened = [*opened[1 - DEEPEST :], (_name(kind, found), len(written))]
            written.append(token)
            continue
        name = _name(kind[4:], found, "end_")
        at = next((at for at in reversed(range(len(opened))) if opened[at][0] == name), None)
        if at is None:
            written.append(token)
            continue
        start = opened[at][1]
        kept = _WORDS[name]("".join(written[start + 1 :])) if name in _WORDS else ""
        del written[start:], opened[at:]
        written.append(kept)
    return "".join(written) + text[end:]


def _name(kind: str, found: re.Match[str], prefix: str = "") -> str:
    return found[f"{prefix}tag"].lower() if kind == "tag" else kind


def _link(inside: str) -> str:
    if "\n\n" in inside:  # no link runs over paragraphs
        return f"[[{inside}]]"
    if _MEDIA.match(inside):
        return ""
    target, _, words = inside.lstrip(":").partition("|")
    return words.rpartition("|")[2] or target


def _template(inside: str) -> str:
    if len(inside) > LONGEST_KEPT_TEMPLATE:
        return ""
    name, *values = (part.strip() for part in inside.split("|"))
    try:
        return _TEMPLATE_WORDS.get(name.lower(), "").format(*values)
    except IndexError:
        return ""


_WORDS: dict[str, Callable[[str], str]] = {"link": _link, "template": _template}


def _tidy(text: str) -> str:
    """Wiki headings as Markdown, no sections of sources, no runs of empty lines."""
    lines: list[str] = []
    footer = 0
    for line in map(_heading, text.split("\n")):
        if found := _HEADING.match(line):
            level = len(found[1])
            if not footer or level <= footer:
                # A first-level heading is the title, and there is an article on footnotes.
                footer = level if level > 1 and found[2].strip("# ").casefold() in _FOOTERS else 0
        if footer or _LEFTOVER_LINE.fullmatch(line) or ("://" in line and "から取得" in line[-6:]):
            continue
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip()


def _heading(line: str) -> str:
    line = line.rstrip()
    level = len(line) - len(line.lstrip("="))
    if not 2 <= level <= 6 or not line.endswith("=" * level) or len(line) <= 2 * level:
        return line
    return f"{'#' * level} {line[level:-level].strip()}"


def _first_heading(text: str) -> str:
    found = re.search(r"(?m)^#{1,2} (.+)$", text)
    return found[1].strip("# ") if found else ""
