"""How the program looks: Gradio's theme variables and the style sheets; it must not know what a page says.

One accent, the ochre of a boxwood oboe, means "tuned" everywhere; the base is always grey-blue. Both pairs keep a
contrast of at least 4.5 : 1 on their background in light and dark (tests/pages/test_theme.py computes it).
"""

from pathlib import Path

import gradio as gr

from training.contract import PROJECT_ROOT

STYLES = PROJECT_ROOT / "assets" / "styles"
# A Japanese font before system-ui: on Linux that name often means one without Japanese.
SYSTEM_FONTS = (
    "-apple-system",
    "BlinkMacSystemFont",
    "Segoe UI",
    "Hiragino Sans",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Yu Gothic UI",
    "Meiryo",
    "system-ui",
    "sans-serif",
)
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Consolas", "Noto Sans Mono CJK JP", "monospace")

# name: (light, dark); assets/styles/ reads them as --oboe-<name>.
COLOURS = {
    "page": ("#f5f6f8", "#11151b"),
    "panel": ("#ffffff", "#191f28"),
    "sunken": ("#eef0f4", "#141922"),
    "line": ("#dde1e8", "#2c3541"),
    "line-strong": ("#8791a1", "#68758a"),
    "text": ("#1b2430", "#e6eaf0"),
    "muted": ("#566275", "#9ba8b9"),
    "accent": ("#8a5200", "#e6a84f"),
    "accent-strong": ("#714300", "#f0bd72"),
    "on-accent": ("#ffffff", "#1f1503"),
    "accent-wash": ("#fbf3e4", "#2a2214"),
    "base": ("#50647f", "#93a9c6"),
    "base-wash": ("#edf1f6", "#1b2430"),
    # Runs and question sets beside the first one, in an order that colour-blind people can tell apart.
    "run-blue": ("#0b63b0", "#6fb1f2"),
    "run-green": ("#0d7a57", "#4cc79b"),
    "run-purple": ("#94378a", "#dc92d2"),
    "danger": ("#b3173b", "#ff8095"),
    "danger-wash": ("#fdeef1", "#34161d"),
}
# Theme variables by the colour of ours that they take, the same name in light and dark.
TAKEN: dict[str, tuple[str, ...]] = {
    "page": ("body_background_fill",),
    "panel": ("block_background_fill", "input_background_fill", "input_background_fill_focus"),
    "sunken": ("background_fill_secondary", "table_even_background_fill", "button_secondary_background_fill_hover"),
    "line": ("block_border_color", "border_color_primary", "input_border_color", "panel_border_color"),
    "line-strong": ("button_secondary_border_color", "checkbox_border_color"),
    "text": ("body_text_color", "block_label_text_color", "block_title_text_color", "button_secondary_text_color"),
    "muted": ("body_text_color_subdued", "block_info_text_color", "input_placeholder_color"),
    "accent": (
        "color_accent",
        "button_primary_background_fill",
        "button_primary_border_color",
        "input_border_color_focus",
        "slider_color",
        "link_text_color",
        "checkbox_background_color_selected",
        "checkbox_border_color_selected",
        "checkbox_border_color_focus",
        "border_color_accent",
    ),
    "accent-strong": ("button_primary_background_fill_hover", "link_text_color_hover"),
    "on-accent": ("button_primary_text_color",),
    "accent-wash": ("color_accent_soft",),
    "danger": ("button_cancel_text_color", "button_cancel_border_color", "error_text_color", "error_border_color"),
    "danger-wash": ("button_cancel_background_fill_hover", "error_background_fill"),
}
FIXED = {
    "button_secondary_background_fill": "transparent",
    "button_secondary_background_fill_dark": "transparent",
    "button_cancel_background_fill": "transparent",
    "button_cancel_background_fill_dark": "transparent",
    "block_shadow": "none",
    "block_label_background_fill": "transparent",
    "block_label_background_fill_dark": "transparent",
    "block_title_text_weight": "500",
    "block_border_width": "0px",
    "block_padding": "0px",
    "layout_gap": "12px",
    "form_gap_width": "12px",
    "button_large_text_weight": "500",
    "button_large_text_size": "*text_md",
    "button_large_padding": "7px 16px",
    "button_small_padding": "4px 10px",
    "input_padding": "7px 10px",
}


def style_sheets() -> list[Path]:
    """Every style sheet, in the order of their names."""
    return sorted(STYLES.glob("*.css"))


def theme() -> gr.themes.Base:
    """Gradio's variables set from the palette; nothing is fetched from outside."""
    built = gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.slate,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_sm,
        font=[gr.themes.Font(name) for name in SYSTEM_FONTS],
        font_mono=[gr.themes.Font(name) for name in MONO_FONTS],
    )
    built.custom_css = _palette()
    return built.set(**_variables())


def _palette() -> str:
    light = "".join(f"--oboe-{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--oboe-{name}:{pair[1]};" for name, pair in COLOURS.items())
    return f":root{{{light}}}:root.dark,:root .dark{{{dark}}}"


def _variables() -> dict[str, str]:
    values = {name: f"var(--oboe-{colour})" for colour, names in TAKEN.items() for name in names}
    # Gradio's dark variables are set as well, or its own dark palette would win; the accent has none.
    return values | {f"{name}_dark": value for name, value in values.items() if name != "color_accent"} | FIXED
