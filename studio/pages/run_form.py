"""The training form, built from RunConfig's fields; it must not know what a value does to a run.

Numbers are text boxes, so that digits in full width and 2e-4 can be typed; `run_config` reads them.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from studio.datasets.versions import Versions
from studio.i18n import text
from studio.pages.language import label
from studio.pages.markup import element, words
from studio.pages.parts import drawn
from studio.runs.presets import Preset, presets
from training.contract import RunConfig

FIRST_PRESET = "demo"
# The dataset is chosen above the tabs.
OUTSIDE = frozenset({"dataset"})
SHOWN = ("preset", "base_model", "method", "learning_rate", "num_train_epochs", "max_steps")
GROUPS = {
    "lora": ("target_modules", "lora_r", "lora_alpha", "lora_dropout"),
    "batch": ("per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "packing"),
    "data": (
        "dataset_version",
        "variants_per_fact",
        "heldout_phrasings",
        "heldout_fact_share",
        "assistant_only_loss",
        "seed",
    ),
    "replay": ("replay_dataset", "replay_share"),
    "probes": ("probe_questions", "early_stopping_patience", "save_steps"),
    "chain": ("init_run", "stack_adapter"),
    "advanced": (
        "name",
        "engine",
        "optim",
        "lr_scheduler_type",
        "warmup_steps",
        "weight_decay",
        "max_grad_norm",
        "report_to",
        "num_processes",
        "accelerate_config_file",
    ),
}
# A value that is not among the choices may be typed.
OPEN_CHOICES = ("base_model", "replay_dataset", "init_run", "dataset_version")
NOTHING = (label("training_page.nothing"), "")
AS_IT_IS = (label("training_page.dataset_as_it_is"), "")
# General examples that ship with the project.
SHIPPED_REPLAY = ("assets/demo/general.jsonl", "assets/demo/replay.jsonl")
Form = dict[str, Any]  # the component of each RunConfig field, in the order shown

DIFFERENCES_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-field]');
  if (button) trigger('click', {field: button.dataset.field});
});
"""


def build_run_form() -> tuple[Form, gr.HTML]:
    """Six fields, then the folded groups; what the preset says of itself stands below its choice."""
    values = preset_values(FIRST_PRESET)
    form = {"preset": _component("preset", values["preset"])}
    note = drawn("preset-note")
    form |= {name: _component(name, values[name]) for name in SHOWN[1:4]}
    with gr.Row():
        form |= {name: _component(name, values[name]) for name in SHOWN[4:]}
    for group, names in GROUPS.items():
        with gr.Accordion(label(f"training_page.group_{group}"), open=False, elem_id=f"group-{group}"):
            form |= {name: _component(name, values[name]) for name in names}
    return form, note


def preset_values(preset: str) -> dict[str, Any]:
    """What the form shows for a preset: its own values over RunConfig's defaults."""
    known = presets().get(preset) or Preset(name=preset, title={}, note={}, config={})
    values = {name: value for name, value in known.values().items() if name not in OUTSIDE}
    return {name: shown_value(value) for name, value in (values | {"preset": preset}).items()}


def differences(values: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields whose value is not the preset's: the preset's value and the form's."""
    start = preset_values(str(values["preset"]))
    return {
        name: (start[name], values[name])
        for name in values
        if name not in ("preset", "name") and not _same(start[name], values[name])
    }


def differences_line(values: Mapping[str, Any], locale: str) -> str:
    """What differs from the preset, each with a button that puts it back; the fields get a mark."""
    found = differences(values)
    if not found:
        return words(text("training_page.as_preset", locale), "oboe-muted", "p")
    marks = ", ".join(f"#{field_id(name)} [data-testid=block-info]" for name in found)
    style = element("style", f"{marks} {{ color: var(--oboe-accent) !important; }}")
    back = text("training_page.put_back", locale)
    items = "".join(
        element(
            "li",
            words(_difference(name, told_value(a, locale), told_value(b, locale), locale))
            + element("button", back, "oboe-button", type="button", data_field=name),
        )
        for name, (a, b) in found.items()
    )
    return style + words(text("training_page.differs", locale), "oboe-muted", "p") + element("ul", items, "oboe-list")


def _difference(name: str, start: str, value: str, locale: str) -> str:
    label = text(f"runs.field_{name}", locale)
    return text("training_page.difference", locale, label=label, start=start, value=value)


def _component(name: str, value: Any) -> Any:
    """A component for one field, of the kind that its type asks for."""
    annotation = RunConfig.model_fields[name].annotation
    described: Any = {
        "label": label(f"runs.field_{name}"),
        "info": label(f"training_page.help_{name}"),
        "elem_id": field_id(name),
        "interactive": True,
        "min_width": 120,
    }
    if name == "preset":
        choices = [(label(f"preset.{key}"), key) for key in presets()]
        return gr.Dropdown(choices, value=value, **described | {"info": None})
    if name in OPEN_CHOICES:
        known: dict[str, list[Any]] = {"base_model": base_models(), "dataset_version": [AS_IT_IS]}
        return gr.Dropdown(known.get(name, [NOTHING]), value=value, allow_custom_value=True, **described)
    if annotation is bool:
        return gr.Checkbox(value, **described)
    if get_origin(annotation) is Literal:
        named = name == "method"
        choices = [(label(f"training_page.{name}_{key}") if named else key, key) for key in get_args(annotation)]
        return gr.Dropdown(choices, value=value, **described)
    return gr.Textbox(value, **described)


def field_id(name: str) -> str:
    """The id of a field's component."""
    return f"run-{name.replace('_', '-')}"


def open_choices(
    models: Sequence[str], datasets: Sequence[str], runs: Sequence[str], versions: Sequence[Any]
) -> list[Any]:
    """New choices of the OPEN_CHOICES; the presets' base models and the files that ship are always among them."""
    known: tuple[list[Any], ...] = (
        list(dict.fromkeys([*base_models(), *models])),
        [NOTHING, *datasets, *SHIPPED_REPLAY],
        [NOTHING, *runs],
        list(versions),
    )
    return [gr.Dropdown(choices=found) for found in known]


def base_models() -> list[str]:
    """Base models that the presets name."""
    return list(dict.fromkeys(str(preset.config["base_model"]) for preset in presets().values()))


def shown_value(value: Any) -> Any:
    """A value as the form writes it: 2e-4, 8, attention, mlp."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(value)
    if isinstance(value, float) and 0 < value < 0.01:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def version_choices(versions: Versions, dataset: str | None) -> list[Any]:
    """What of a dataset can be trained: as it is, or one of its versions."""
    found = versions.all(dataset) if dataset else []
    return [AS_IT_IS, *((version.name, version.reference) for version in found)]


def filled_from(versions: Versions, dataset: str | None) -> dict[str, Any]:
    """What the form takes over from a dataset: its name, and how somebody has chosen to divide it."""
    kept = versions.splits(dataset).model_dump(exclude_unset=True) if dataset else {}
    return {"dataset": dataset} | {name: shown_value(value) for name, value in kept.items()}


def told_value(value: Any, locale: str) -> str:
    """A value in a sentence: a switch is on or off, and what is empty is none."""
    if isinstance(value, bool):
        return text("presets.on" if value else "presets.off", locale)
    return str(shown_value(value)) or text("presets.none", locale)


def _same(one: Any, other: Any) -> bool:
    typed = [unicodedata.normalize("NFKC", str(value)).strip() for value in (one, other)]
    try:
        return float(typed[0]) == float(typed[1])
    except ValueError:
        return typed[0].split() == typed[1].split()
