"""Components and event options that every tab uses alike; it must not know any tab."""

from typing import Any

import gradio as gr

# Buttons are no endpoints: the named ones are in studio/pages/api.py.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# For views that follow by themselves: no spinner over what is being read, and no queue behind another browser's.
QUIET: dict[str, Any] = PRIVATE | {"show_progress": "hidden", "concurrency_limit": None}


def drawn(elem_id: str, value: str = "", *, js: str | None = None, classes: str = "", visible: bool = True) -> gr.HTML:
    """A component for HTML that a module of ours draws, without Gradio's own styles for prose."""
    return gr.HTML(
        value, elem_id=elem_id, elem_classes=classes or None, js_on_load=js, apply_default_css=False, visible=visible
    )
