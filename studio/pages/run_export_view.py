"""What a finished run can be written out as, and where each export stands, as HTML; not how any of it is made."""

import json
from collections.abc import Mapping
from pathlib import Path

from studio.i18n import text
from studio.pages.markup import bar, element, notice, words
from training.contract import RunConfig
from training.errands import ExportKind, ExportStatus

# There where a template of ours stands in for the base's own.
TEMPLATE = "chat_template.jinja"
FORM_JS = """
element.addEventListener('click', (event) => {
  const act = event.target.closest('button')?.dataset.act;
  if (!act) return;
  const typed = (name) => element.querySelector(`[name=${name}]`).value;
  trigger('apply', {act, repo: typed('repo'), base_model: typed('base_model')});
});
"""
STATUS_JS = """
element.addEventListener('click', (event) => {
  if (event.target.closest('button[data-act=cancel]')) trigger('apply', {act: 'cancel'});
});
"""


def export_form(locale: str) -> str:
    """The kinds of export with a sentence each, and what two of them must be told."""
    rows = _row("adapter", "", locale)
    rows += _row("merged", _field("base_model", locale), locale)
    rows += _row("gguf", "", locale)
    rows += _row("push", _field("repo", locale), locale)
    return element("div", rows, "oboe-run-exports")


def adapter_lines(run_id: str, adapter: Path, config: RunConfig, locale: str) -> str:
    """Where the adapter lies, and the line that serves it."""
    rank = json.loads((adapter / "adapter_config.json").read_text("utf-8"))["r"]  # on top of another it has both
    command = f"vllm serve {config.base_model} --enable-lora --max-lora-rank {rank}"
    if (adapter / TEMPLATE).is_file():
        command += f" --chat-template {adapter / TEMPLATE}"
    command += f" --lora-modules {run_id}={adapter}"
    where = words(text("run_export_page.folder", locale), "oboe-muted") + words(str(adapter), name="code")
    serve = words(text("run_export_page.serve", locale), "oboe-muted") + words(command, name="code")
    return element("p", where, "oboe-run-export-line") + element("p", serve, "oboe-run-export-line")


def export_lines(found: Mapping[ExportKind, ExportStatus], locale: str) -> str:
    """Each export that was asked for: under way, done with what was compared, or why there is none."""
    return "".join(_line(kind, status, locale) for kind, status in found.items())


def _row(kind: str, fields: str, locale: str) -> str:
    button = element("button", words(_say(kind, locale)), "oboe-button", type="button", data_act=kind)
    return element("div", button + words(_say(f"about_{kind}", locale), "oboe-muted") + fields)


def _field(name: str, locale: str) -> str:
    control = f'<input class="oboe-control" name="{name}" autocomplete="off" spellcheck="false">'
    return element("label", words(_say(name, locale)) + control)


def _line(kind: ExportKind, status: ExportStatus, locale: str) -> str:
    name = _say(kind, locale)
    if status.state in ("starting", "running"):
        cancel = element("button", words(_say("cancel", locale)), "oboe-button", type="button", data_act="cancel")
        share = status.done / status.total if status.total else None
        running = element("p", words(_say("running", locale, kind=name), "oboe-strong") + cancel, "oboe-ask")
        return running + bar(share)
    if status.state == "finished":
        return notice(_say("finished", locale, kind=name, path=status.path), "ok", _compared(kind, status, locale))
    return notice(f"{name}: {status.reason}", "failed" if status.state in ("failed", "crashed") else "info")


def _compared(kind: ExportKind, status: ExportStatus, locale: str) -> str:
    """How the merged weights were compared, which is told too where the memory did not hold them."""
    if kind == "push":
        return ""
    if not status.checked:
        return _say("not_compared", locale)
    share, largest = status.checked["top_agreement"], status.checked["largest_difference"]
    return _say("compared", locale, share=f"{100 * share:.1f}", largest=f"{largest:.4g}")


def _say(key: str, locale: str, **values: object) -> str:
    return text(f"run_export_page.{key}", locale, **values)
