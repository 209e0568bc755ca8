"""The dataset tab: the list and the augmentation under one roof; it must not know what either shows."""

import gradio as gr

from studio.house import Studio
from studio.pages.augment_panel import build_augment_panel
from studio.pages.dataset_list import build_dataset_list
from studio.pages.language import label
from studio.pages.shell import Shell


def build_dataset_tab(studio: Studio, shell: Shell, tab: gr.Tab) -> None:
    """Both sections, and the way from the list to augmentation."""
    with gr.Tabs(elem_id="dataset-sections", elem_classes="oboe-sections") as sections:
        with gr.Tab(label("dataset_page.tab_list"), id="list", elem_id="tab-list"):
            augment = build_dataset_list(studio, shell)
        with gr.Tab(label("dataset_page.tab_augment"), id="augment", elem_id="tab-augment"):
            build_augment_panel(studio, shell)
    augment.click(lambda: gr.Tabs(selected="augment"), outputs=sections, api_visibility="private")
