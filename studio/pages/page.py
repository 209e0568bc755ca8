"""The whole page: the frame, the tabs and the named endpoints, and how it is served; it must not know any domain."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from studio.house import Studio
from studio.pages.api import add_endpoints
from studio.pages.arena_tab import build_arena_tab
from studio.pages.dataset_tab import build_dataset_tab
from studio.pages.language import label, translations
from studio.pages.settings_tab import build_settings_tab
from studio.pages.shell import TABS, Shell, build_header, open_asked_tab
from studio.pages.theme import style_sheets, theme
from studio.pages.training_tab import build_training_tab

BUILDERS: dict[str, Callable[[Studio, Shell, gr.Tab], None]] = {
    "dataset": build_dataset_tab,
    "training": build_training_tab,
    "arena": build_arena_tab,
    "settings": build_settings_tab,
}


def build_page(studio: Studio) -> gr.Blocks:
    """The page over the rooms of one data folder."""
    page = gr.Blocks(title="Oboe", analytics_enabled=False, fill_width=True)
    with page:
        shell = build_header(studio, page)
        with gr.Tabs(elem_id="tabs") as tabs:
            for name in TABS:
                _build_tab(name, studio, shell)
        open_asked_tab(shell, tabs)
        add_endpoints(studio)
    return page


def _build_tab(name: str, studio: Studio, shell: Shell) -> None:
    with gr.Tab(label(f"common.tab_{name}"), id=name, elem_id=f"tab-{name}") as tab:
        BUILDERS[name](studio, shell, tab)


def launch(page: gr.Blocks, data_dir: Path, **address: Any) -> tuple[Any, str, str]:
    """Serve the page; nothing but the exports folder is readable, nothing is fetched from outside."""
    return page.launch(
        theme=theme(),
        css_paths=[str(path) for path in style_sheets()],
        i18n=translations(),
        allowed_paths=[str(data_dir.resolve() / "exports")],
        server_name=address.pop("host", "127.0.0.1"),
        server_port=address.pop("port", None),
        share=False,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        footer_links=[],
        **address,
    )
