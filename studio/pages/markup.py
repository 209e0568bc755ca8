"""Pieces of HTML that several pages draw: every text that goes in is escaped here; it must not know any domain."""

import unicodedata
from html import escape

from studio.i18n import text

KIND_ICONS = {"ok": "ok", "warning": "warning", "failed": "failed", "info": "info"}


def element(name: str, content: str, classes: str = "", **attributes: object) -> str:
    """An element around HTML that is already safe; attribute values are escaped, `data_id` becomes `data-id`."""
    given = {"class": classes} if classes else {}
    given |= {key.replace("_", "-"): str(value) for key, value in attributes.items() if value is not None}
    written = "".join(f' {key}="{escape(value)}"' for key, value in given.items())
    return f"<{name}{written}>{content}</{name}>"


def words(content: object, classes: str = "", name: str = "span") -> str:
    """An element around a text, escaped."""
    return element(name, escape(str(content)), classes)


def button(content: str, classes: str = "", **attributes: object) -> str:
    """A button with a text; what it is for goes into a data attribute that the page's script reads."""
    return element("button", words(content), f"oboe-button {classes}".strip(), type="button", **attributes)


def notice(sentence: str, kind: str = "info", remedy: str = "") -> str:
    """One sentence with its state as an icon drawn by CSS, and what to do."""
    body = words(sentence, "oboe-sentence") + (words(remedy, "oboe-remedy") if remedy else "")
    return element("div", f'<i class="oboe-icon {KIND_ICONS[kind]}"></i><div>{body}</div>', f"oboe-notice {kind}")


def empty(sentence: str) -> str:
    """What stands where nothing is yet: the state, then the next step."""
    return words(sentence, "oboe-empty", "p")


def bar(share: float | None) -> str:
    """A thin progress bar; None is one that does not know how far it is."""
    if share is None:
        return '<div class="oboe-bar unknown"><i></i></div>'
    return f'<div class="oboe-bar"><i style="width:{max(0.0, min(1.0, share)) * 100:.1f}%"></i></div>'


def pager(position: str, number: int, pages: int, locale: str) -> str:
    """Where a list of pages stands, and buttons with `data-page` to the page before and behind."""
    before = _page_button(text("dataset_page.previous", locale), number - 1, number > 1)
    after = _page_button(text("dataset_page.next", locale), number + 1, number < pages)
    return element("nav", before + words(position, "oboe-position") + after, "oboe-pager")


def _page_button(content: str, number: int, possible: bool) -> str:
    if possible:
        return element("button", content, "oboe-button", type="button", data_page=number)
    return element("button", content, "oboe-button", type="button", disabled="disabled")


def facts_line(pairs: list[tuple[str, str]], classes: str = "oboe-figures") -> str:
    """Labelled figures in a row."""
    return element("dl", "".join(f"<div>{words(n, name='dt')}{words(v, name='dd')}</div>" for n, v in pairs), classes)


def size_text(size: float) -> str:
    """Bytes as people read them: 12.1 GB, 640 MB."""
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= divisor:
            return f"{size / divisor:,.1f} {unit}" if size < 100 * divisor else f"{size / divisor:,.0f} {unit}"
    return f"{size:,.0f} B"


def model_name(base_model: str, locale: str) -> str:
    """A base model as people call it; the one that ships with the project has no Hub id."""
    return text("common.demo_model", locale) if base_model.startswith("assets/") else base_model


def duration_text(seconds: float, locale: str) -> str:
    """A time span in one unit or two: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return text("common.seconds", locale, seconds=whole)
    if whole < 3600:
        return text("common.minutes", locale, minutes=whole // 60, seconds=whole % 60)
    return text("common.hours", locale, hours=whole // 3600, minutes=whole % 3600 // 60)


def figure(value: float | None, digits: int = 3) -> str:
    """A number with sensible digits; an en dash where there is none."""
    if value is None:
        return "–"
    if value and (abs(value) < 1e-2 or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:,.{digits}f}"


def whole_number(typed: object) -> int | None:
    """The whole number that a person typed, in half or full width; None where it is none."""
    plain = unicodedata.normalize("NFKC", str(typed)).strip().replace(",", "")
    return int(plain) if plain.isdecimal() else None
