"""Both answers of the arena as HTML: plain text, escaped, never Markdown. It must not know who is asked, or how."""

from studio.arena import Scene, Side
from studio.datasets import Fact
from studio.i18n import text
from studio.pages.markup import element, model_name, notice, words
from studio.runs.registry import RunSummary
from training.scoring import holds_key_terms

QUESTIONS_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-question]');
  if (button) trigger('click', {question: button.dataset.question});
});
"""


def titles(base_model: str, run: RunSummary | None, locale: str) -> tuple[str, str]:
    """What stands over the two columns."""
    left = text("arena_page.before", locale, model=model_name(base_model, locale))
    after = text("arena_page.after", locale, model=run.name or run.run_id if run else "–")
    return left, after


def waiting(title: str, tone: str, sentence: str) -> str:
    """A column before a question."""
    return _column(title, tone, words(sentence, "oboe-muted", "p"), "")


def answer(title: str, tone: str, scene: Scene, known: Fact | None, locale: str) -> str:
    """A column at one moment of a scene; `known` is the dataset's fact that was asked for, if it is one."""
    side = scene.sides[0 if tone == "base" else 1]
    if side.error is not None:
        return _column(title, tone, notice(side.error.text(locale), "failed"), "")
    if scene.phase != "ready" and not side.over:
        return _column(title, tone, _busy(text(f"arena_page.phase_{scene.phase}", locale)), "")
    return _column(title, tone, _body(side, locale), _foot(side, locale) + _verdict(side, known, locale))


def question_chips(questions: list[str], locale: str) -> str:
    """Questions that are one click away."""
    if not questions:
        return ""
    chips = "".join(
        element("button", words(question), "oboe-button", type="button", data_question=question)
        for question in questions
    )
    return words(text("arena_page.examples", locale), "oboe-muted") + chips


def expected_line(known: Fact | None, locale: str) -> str:
    """The dataset's own answer to the question, where it has one."""
    if known is None:
        return ""
    return words(text("arena_page.expected", locale), "oboe-muted") + words(known.answer)


def _column(title: str, tone: str, body: str, foot: str) -> str:
    head = element("header", words(title, name="h2"))
    return element("section", head + element("div", body, "oboe-answer") + element("footer", foot), f"oboe-side-{tone}")


def _busy(sentence: str) -> str:
    return element("p", '<i class="oboe-icon busy"></i>' + words(sentence), "oboe-busy")


def _body(side: Side, locale: str) -> str:
    shown = side.reply.answer if side.reply else side.text
    if shown:
        return words(shown, "oboe-words", "p") + _reasoning(side, locale)
    if not side.over:
        thinking = text("arena_page.thinking", locale, tokens=f"{side.reasoning_tokens:,}")
        return _busy(thinking if side.reasoning_tokens else text("arena_page.asked", locale))
    sentence = text("arena_page.no_answer" if side.reply else "arena_page.stopped_early", locale)
    return words(sentence, "oboe-muted", "p") + _reasoning(side, locale)


def _reasoning(side: Side, locale: str) -> str:
    """Only there where the question asked for it; the server sends none otherwise."""
    if side.reply is None or not side.reply.reasoning:
        return ""
    summary = words(text("arena_page.reasoning", locale), name="summary")
    return element("details", summary + words(side.reply.reasoning, "oboe-muted", "p"), "oboe-reasoning")


def _verdict(side: Side, known: Fact | None, locale: str) -> str:
    if known is None or not known.key_terms or side.reply is None:
        return ""
    right = holds_key_terms(side.reply.answer, known.key_terms)
    return words(text(f"arena_page.{'holds' if right else 'lacks'}_answer", locale), f"oboe-verdict {right}".lower())


def _foot(side: Side, locale: str) -> str:
    if side.stopped:
        return words(text("arena_page.stopped", locale), "oboe-chip")
    if side.reply is None:
        return ""
    reply = side.reply
    tone = "" if reply.reply_state == "ok" else " notable"
    badge = words(text(f"arena_page.state_{reply.reply_state}", locale), f"oboe-chip{tone}")
    key = "arena_page.tokens"
    if reply.reasoning_tokens:
        key = "arena_page.tokens_shown" if reply.reasoning else "arena_page.tokens_hidden"
    tokens = text(key, locale, tokens=f"{reply.tokens:,}", hidden=f"{reply.reasoning_tokens:,}")
    seconds = text("arena_page.seconds", locale, seconds=f"{reply.seconds:,.1f}")
    return badge + words(f"{tokens} · {seconds}")
