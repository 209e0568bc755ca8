"""The dataset tab: its sections under one roof; it must not know what any of them shows."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.house import Studio
from studio.pages.augment_panel import build_augment_panel
from studio.pages.checks_panel import build_checks_panel
from studio.pages.dataset_list import build_dataset_list
from studio.pages.documents_panel import build_documents_panel
from studio.pages.facts_panel import build_facts_panel
from studio.pages.language import label
from studio.pages.parts import QUIET
from studio.pages.questions_panel import build_questions_panel
from studio.pages.review_panel import build_review_panel
from studio.pages.shell import Shell
from studio.pages.versions_panel import build_versions_panel

# In the order of the work; a section's label is dataset_page.tab_<name>.
SECTIONS: dict[str, Callable[[Studio, Shell], Any]] = {
    "list": build_dataset_list,
    "augment": build_augment_panel,
    "review": build_review_panel,
    "facts": build_facts_panel,
    "checks": build_checks_panel,
    "versions": build_versions_panel,
    "questions": build_questions_panel,
    "documents": build_documents_panel,
}


def build_dataset_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """All sections, and the way from one to another."""
    with gr.Tabs(elem_id="dataset-sections", elem_classes="oboe-sections") as sections:
        for name, build in SECTIONS.items():
            with gr.Tab(label(f"dataset_page.tab_{name}"), id=name, elem_id=f"tab-{name}"):
                build(studio, shell)
    # Twice the same section is a change too: the wish carries its moment.
    shell.section.change(lambda wish: gr.Tabs(selected=wish[0]), shell.section, sections, **QUIET)
