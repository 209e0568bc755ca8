"""What a start would train, and what speaks against it, as HTML; it must not know how any of it was found out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from studio.i18n import text
from studio.pages.markup import button, duration_text, element, facts_line, model_name, notice, size_text, words
from studio.pages.run_form import told_value
from studio.runs.plans import Plan
from studio.runs.presets import presets
from studio.runs.speed import Speed
from studio.runs.stages import Outlook
from training.contract import Method, RunConfig
from training.preflight_report import Bin, FieldValue, Finding, Memory, Piece, Preflight, Rendered

KINDS = {"error": "failed", "warning": "warning", "note": "info"}
# Untested on so small a scale, and a base of this size takes an hour rather than minutes.
LARGE_BYTES = 10**9
CHART_WIDTH, CHART_HEIGHT = 480, 64

FIX_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-fix]');
  if (button) trigger('click', {fix: JSON.parse(button.dataset.fix)});
});
"""


@dataclass(frozen=True)
class Time:
    """How long the run would take; None where nobody has measured it. `ways` keep it within the budget."""

    seconds: float | None
    speed: Speed | None
    budget_s: float | None = None
    ways: Sequence[dict[str, FieldValue]] = ()


@dataclass(frozen=True)
class Whole:
    """The plan whose first run was checked, and what speaks against its other runs."""

    plan: Plan
    outlook: Outlook


def checking(found: Preflight, problem: str, locale: str, whole: Whole | None = None) -> str:
    """What can be told at once, while the check goes on or after it failed."""
    state = (
        notice(problem, "warning")
        if problem
        else element(
            "div", '<i class="oboe-icon busy"></i>' + words(text("preflight_page.checking", locale)), "oboe-busy"
        )
    )
    told = _figures(found, _method(whole), locale) + state
    return _head(found, whole, locale, known=False) + told + _beside(found, whole, locale)


def checked(found: Preflight, time: Time, locale: str, whole: Whole | None = None) -> str:
    """What speaks against the start, how much is trained and how long it takes; of a chain, each stage."""
    told = _figures(found, _method(whole), locale, time) + _budget(time, locale)
    return _head(found, whole, locale, known=True) + told + _beside(found, whole, locale)


def _head(found: Preflight, whole: Whole | None, locale: str, *, known: bool) -> str:
    """How it stands with all runs of the plan, and what is to be said of the first."""
    first = _first(found, whole)
    later = (finding for stage in _later(found, whole) for finding in stage.findings)
    return _title((*first, *later), locale, known=known) + _findings(first, locale)


def _first(found: Preflight, whole: Whole | None) -> tuple[Finding, ...]:
    return (*(whole.outlook.first if whole else ()), *found.findings)


def _later(found: Preflight, whole: Whole | None) -> list[Preflight]:
    """The later stages without what was said of the first one already: all read the same dataset."""
    said = [(finding.code, finding.values) for finding in _first(found, whole)]
    stages = [stage for _, stage in whole.outlook.later] if whole else []
    fresh = [tuple(one for one in stage.findings if (one.code, one.values) not in said) for stage in stages]
    return [stage.model_copy(update={"findings": findings}) for stage, findings in zip(stages, fresh, strict=True)]


def _beside(found: Preflight, whole: Whole | None, locale: str) -> str:
    """What is known of the runs that were not checked in full, and that they were not."""
    if whole is None:
        return ""
    if whole.plan.kind == "sweep":
        return words(text("preflight_page.sweep", locale, number=len(whole.plan.configs)), "oboe-muted", "p")
    stages = zip(whole.plan.configs[1:], _later(found, whole), strict=False)
    return "".join(_stage(place, *stage, locale) for place, stage in enumerate(stages, start=2))


def _stage(place: int, config: RunConfig, found: Preflight, locale: str) -> str:
    preset = presets().get(config.preset)
    title = text("preflight_page.stage", locale, number=place, name=preset.title[locale] if preset else config.preset)
    body = _findings(found.findings, locale) + _figures(found, config.method, locale)
    told = words(text("preflight_page.stage_told", locale), "oboe-muted", "p")
    return element("section", words(title, name="h4") + body + told, "oboe-stage")


def details(found: Preflight, locale: str) -> str:
    """Adapters, memory, examples as the model sees them, and lengths."""
    return _adapters(found, locale) + _memory(found, locale) + _examples(found, locale) + _lengths(found, locale)


def _title(findings: Sequence[Finding], locale: str, *, known: bool) -> str:
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    chip = ""
    if errors:
        chip = words(text("preflight_page.refused", locale, number=errors), "oboe-chip failed")
    elif warnings:
        chip = words(text("preflight_page.warned", locale, number=warnings), "oboe-chip notable")
    elif known:
        chip = words(text("preflight_page.passed", locale), "oboe-chip tuned")
    return element("div", words(text("preflight_page.title", locale), name="h3") + chip, "oboe-title")


def _findings(findings: Sequence[Finding], locale: str) -> str:
    return "".join(
        element(
            "div",
            notice(text(finding.code, locale, **finding.values), KINDS[finding.severity]) + _fix(finding, locale),
            "oboe-finding",
        )
        for finding in findings
    )


def _fix(finding: Finding, locale: str) -> str:
    return fix_button(finding.fix, locale) if finding.fix else ""


def fix_button(fix: dict[str, FieldValue], locale: str) -> str:
    """A button that says which fields it sets to what."""
    parts = [
        text("preflight_page.set", locale, label=text(f"runs.field_{name}", locale), value=told_value(value, locale))
        for name, value in fix.items()
    ]
    return button(text("preflight_page.and", locale).join(parts), data_fix=json.dumps(fix))


def _method(whole: Whole | None) -> Method | None:
    return whole.plan.configs[0].method if whole else None


def _figures(found: Preflight, method: Method | None, locale: str, time: Time | None = None) -> str:
    """What is trained, by number: from documents alone no fact and no example."""
    asked = method != "cpt"
    named: list[tuple[str, int | None]] = [
        ("facts", found.facts if asked else None),
        ("examples", found.examples if asked else None),
        ("heldout", found.heldout if asked else None),
        ("documents", found.documents or None),
        ("replayed", found.replayed or None),
        ("blocks", found.blocks or None),
        ("steps", found.steps),
        ("trained_tokens", found.trained_tokens),
    ]
    pairs = [(text(f"preflight_page.{name}", locale), f"{number:,}") for name, number in named if number is not None]
    if time is not None:
        pairs.append((text("preflight_page.time", locale), _time(found, time, locale)))
    return facts_line(pairs)


def _time(found: Preflight, time: Time, locale: str) -> str:
    if time.seconds is None or time.speed is None:
        large = found.memory is not None and found.memory.weights > LARGE_BYTES
        return text("preflight_page.time_unknown_large" if large else "preflight_page.time_unknown", locale)
    told = {"time": duration_text(time.seconds, locale), "speed": f"{time.speed.tokens_per_s:,.0f}"}
    return text("preflight_page.time_here" if time.speed.here else "preflight_page.time_sample", locale, **told)


def _budget(time: Time, locale: str) -> str:
    if time.budget_s is None:
        return ""
    if time.seconds is None:
        return words(text("preflight_page.budget_unknown", locale), "oboe-muted", "p")
    if not time.ways:
        return words(text("preflight_page.budget_kept", locale), "oboe-muted", "p")
    ways = "".join(fix_button(way, locale) for way in time.ways)
    return element("div", words(text("preflight_page.budget_ways", locale)) + ways, "oboe-finding")


def _adapters(found: Preflight, locale: str) -> str:
    if found.modules is None:
        return ""
    pairs = [(kind, f"{number:,}") for kind, number in found.modules.items()]
    if found.trainable_parameters is not None:
        pairs.append((text("preflight_page.trainable", locale), f"{found.trainable_parameters:,}"))
    if found.four_bit_share is not None:
        pairs.append((text("preflight_page.four_bits", locale), f"{100 * found.four_bit_share:.1f} %"))
    loaded = f"{model_name(found.repository, locale)} ({found.engine})"
    pairs.append((text("preflight_page.loaded", locale), loaded))
    if found.download_bytes:
        pairs.append((text("preflight_page.download", locale), size_text(found.download_bytes)))
    return words(text("preflight_page.adapters", locale), name="h4") + facts_line(pairs)


def _memory(found: Preflight, locale: str) -> str:
    """Each part as its share of the device, and what is taken there by others."""
    memory, device = found.memory, found.device_bytes
    if memory is None:
        return ""
    whole = max(memory.total, device or 0)
    parts = "".join(
        element("i", "", name, style=f"width:{100 * size / whole:.2f}%", title=_part(name, size, locale))
        for name, size in memory.model_dump().items()
    )
    legend = "".join(
        element("li", f'<i class="{name}"></i>' + words(_part(name, size, locale)))
        for name, size in memory.model_dump().items()
    )
    return (
        words(text(f"preflight_page.memory_{'gpu' if found.on_gpu else 'cpu'}", locale), name="h4")
        + words(_memory_sentence(memory, found, locale), "oboe-muted", "p")
        + element("div", parts, "oboe-parts" + (" over" if device and memory.total > device else ""))
        + element("ul", legend, "oboe-legend")
    )


def _memory_sentence(memory: Memory, found: Preflight, locale: str) -> str:
    unknown = text("preflight_page.unknown", locale)
    sentence = text(
        "preflight_page.memory",
        locale,
        needed=size_text(memory.total),
        device=size_text(found.device_bytes) if found.device_bytes else unknown,
        free=size_text(found.free_bytes) if found.free_bytes else unknown,
    )
    if found.disk_bytes is None or found.disk_free_bytes is None:
        return sentence
    sizes = {"needed": size_text(found.disk_bytes), "free": size_text(found.disk_free_bytes)}
    return sentence + text("preflight_page.disk", locale, **sizes)


def _part(name: str, size: int, locale: str) -> str:
    return f"{text(f'preflight_page.part_{name}', locale)} {size_text(size)}"


def _examples(found: Preflight, locale: str) -> str:
    """The sequences as the model will see them; the first is open."""
    if not found.shown:
        return ""
    shown = "".join(_example(one, place, locale) for place, one in enumerate(found.shown))
    legend = words(text("preflight_page.mask_legend", locale), "oboe-muted", "p")
    return words(text("preflight_page.mask", locale), name="h4") + legend + shown


def _example(one: Rendered, place: int, locale: str) -> str:
    summary = text(
        "preflight_page.example", locale, number=place + 1, tokens=f"{one.tokens:,}", trained=f"{one.trained_tokens:,}"
    )
    body = "".join(_piece(piece) for piece in one.pieces)
    if one.left_out:
        body += words(text("preflight_page.left_out", locale, number=f"{one.left_out:,}"), "oboe-muted")
    opened = {"open": "open"} if place == 0 else {}
    return element(
        "details", words(summary, name="summary") + element("div", body, "oboe-sequence"), "oboe-rendered", **opened
    )


def _piece(piece: Piece) -> str:
    classes = "trained" if piece.trained else ""
    if piece.special:
        return words(piece.text.strip("<|>"), f"oboe-token {classes}".strip())
    return words(piece.text, classes, "mark" if piece.trained else "span")


def _lengths(found: Preflight, locale: str) -> str:
    if not found.histogram or found.useful_token_share is None:
        return ""
    told = {
        "longest": f"{found.longest_sequence or 0:,}",
        "truncated": f"{found.truncated or 0:,}",
        "untrained": f"{found.untrained or 0:,}",
        "padding": f"{100 * (1 - found.useful_token_share):.1f}",
    }
    sentence = text("preflight_page.lengths_told", locale, **told)
    if found.encoded_share < 1:
        sentence += text("preflight_page.sampled", locale, percent=f"{100 * found.encoded_share:.0f}")
    return (
        words(text("preflight_page.lengths", locale), name="h4")
        + words(sentence, "oboe-muted", "p")
        + _histogram(found.histogram)
    )


def _histogram(bins: Sequence[Bin]) -> str:
    most = max(one.number for one in bins)
    width = CHART_WIDTH / len(bins)
    bars = "".join(
        element(
            "rect",
            words(f"{one.start}–{one.end - 1}: {one.number:,}", name="title"),
            x=f"{place * width + 1:.1f}",
            y=f"{CHART_HEIGHT * (1 - one.number / most):.1f}",
            width=f"{width - 2:.1f}",
            height=f"{CHART_HEIGHT * one.number / most:.1f}",
        )
        for place, one in enumerate(bins)
    )
    frame = {"viewBox": f"0 0 {CHART_WIDTH} {CHART_HEIGHT}", "preserveAspectRatio": "none", "role": "img"}
    ends = element("div", words(f"{bins[0].start}") + words(f"{bins[-1].end - 1}"), "oboe-ends")
    return element("svg", bars, "oboe-histogram", **frame) + ends
