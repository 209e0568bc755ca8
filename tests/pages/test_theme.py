"""Text can be read on its ground in light and dark, and the page fetches nothing from outside."""

import re

import pytest

from studio.pages.theme import COLOURS, style_sheets, theme

# Every pair of a text colour and the ground it stands on.
PAIRS = [
    (text, ground)
    for text in ("text", "muted", "accent", "base", "danger", "run-blue", "run-green", "run-purple")
    for ground in ("page", "panel", "sunken")
] + [
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("accent", "accent-wash"),
    ("base", "base-wash"),
    ("danger", "danger-wash"),
    ("muted", "accent-wash"),
]


def luminance(colour: str) -> float:
    """Relative luminance after WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_has_the_contrast_that_AA_asks_for(text: str, ground: str, mode: int) -> None:
    light, dark = sorted((luminance(COLOURS[text][mode]), luminance(COLOURS[ground][mode])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_style_sheets_fetch_nothing_and_use_known_colours_only() -> None:
    css = "".join(path.read_text("utf-8") for path in style_sheets())
    assert "url(" not in css and "@import" not in css and "http" not in css
    assert set(re.findall(r"var\(--oboe-([a-z-]+)\)", css)) <= set(COLOURS) | {"radius"}


def test_no_border_of_a_variable_colour_is_changed_in_part_by_its_own_rule() -> None:
    """Gradio writes each rule anew in the browser, where such a `border` cannot be written and is left out."""
    for path in style_sheets():
        for rule in re.findall(r"{([^{}]*)}", path.read_text("utf-8")):
            whole = re.search(r"\bborder(-color)?:[^;]*var\(", rule)
            after = rule[whole.end() :] if whole else ""
            parts = re.search(r"\bborder-(top|right|bottom|left|width|style|color)\b", after)
            assert not parts, f"{path.name}: {rule.strip()}"


def test_the_theme_loads_no_font_from_the_network() -> None:
    built = theme()
    assert built._stylesheets == [] and "url(" not in "".join(built._font_css)
