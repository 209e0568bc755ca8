"""Asks a base model and a fine-tuned run the same question at once; it must not know how answers are shown."""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from studio import inference
from studio.errors import ArenaError, StudioError
from studio.inference import Endpoint, Options, Reply
from studio.runs.presets import presets
from studio.runs.registry import Runs, RunSummary
from studio.runs.server import ModelServer

log = logging.getLogger(__name__)

BASE = "base"
LONGEST_QUESTION = 4000
STOP_POLL_S = 0.2
FRAME_S = 0.06  # a reader sees no difference above some 15 pictures a second


@dataclass(frozen=True)
class Side:
    """One model's answer so far. It is over once `reply`, `error` or `stopped` is there."""

    model: str
    text: str = ""
    reasoning_tokens: int = 0
    reply: Reply | None = None
    error: StudioError | None = None
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.reply is not None or self.error is not None or self.stopped


@dataclass(frozen=True)
class Scene:
    """What a reader sees at one moment: the server's phase while it starts, then the sides."""

    phase: str  # "starting", "loading" or "ready"
    sides: tuple[Side, ...]

    @property
    def over(self) -> bool:
        """Whether every side is over."""
        return all(side.over for side in self.sides)


Update = tuple[int, Side] | str | StudioError


class Arena:
    """One question, several models of one base, all answers as they come."""

    def __init__(self, runs: Runs, server: ModelServer) -> None:
        self.runs = runs
        self.server = server
        self._asking: dict[str, threading.Event] = {}

    def tuned(self) -> list[RunSummary]:
        """The runs that can be asked, newest first."""
        return [run for run in self.runs.summaries() if run.has_adapter and run.ended]

    def base_model(self, models: Sequence[str], wanted: str | None = None) -> str:
        """The base that these models share; where no run is among them, the one wanted or the demo's.

        Raises:
            ArenaError: the runs were trained on different bases, or on another one than wanted.
        """
        bases = {self.runs.config(model).base_model for model in models if model != BASE}
        bases |= {wanted} if wanted else set()
        if len(bases) > 1:
            raise ArenaError("arena.error_two_bases", bases=", ".join(sorted(bases)))
        return bases.pop() if bases else str(presets()["demo"].config["base_model"])

    def ask(
        self,
        question: str,
        models: Sequence[str],
        *,
        options: Options | None = None,
        reader: str = "",
        base_model: str | None = None,
    ) -> Iterator[Scene]:
        """All answers as they grow, at most some fifteen scenes a second; the last one is over.

        `reader` names who asks, for `stop`; `base_model` is needed only where no run names it. Raises StudioError
        where the question or the server is at fault.
        """
        question = checked(question)
        base_model = self.base_model(models, base_model)
        if reader:
            self.stop(reader)  # a second question of the same reader would write into the same columns
        stop = self._asking[reader] = threading.Event()
        updates: queue.Queue[Update] = queue.Queue()
        asked = _Asked(question, tuple(models), options or Options(), stop, updates)
        threading.Thread(target=self._run, args=(asked, base_model), daemon=True).start()
        try:
            yield from _scenes(asked)
        finally:
            stop.set()  # the reader may have left before the end
            if self._asking.get(reader) is stop:
                del self._asking[reader]

    def stop(self, reader: str) -> None:
        """End what a reader has asked; what was said stays."""
        if event := self._asking.get(reader):
            event.set()

    def _run(self, asked: "_Asked", base_model: str) -> None:
        try:
            handle = self.server.ensure(base_model, asked.updates.put)
        except StudioError as error:
            asked.updates.put(error)
            return
        except Exception:  # a reader waits for this thread's word, whatever happens in it
            log.exception("the model server could not be asked for")
            asked.updates.put(ArenaError("arena.error_unexpected"))
            return
        endpoint = Endpoint(handle.base_url, handle.token)
        for place, model in enumerate(asked.models):
            threading.Thread(target=_answer, args=(asked, endpoint, place, model), daemon=True).start()


@dataclass(frozen=True)
class _Asked:
    question: str
    models: tuple[str, ...]
    options: Options
    stop: threading.Event
    updates: "queue.Queue[Update]"


def checked(question: str) -> str:
    """The question without surrounding blanks. Raises ArenaError where there is none or it is too long."""
    question = question.strip()
    if not question:
        raise ArenaError("arena.error_empty_question")
    if len(question) > LONGEST_QUESTION:
        raise ArenaError("arena.error_long_question", length=f"{len(question):,}", limit=f"{LONGEST_QUESTION:,}")
    return question


def _answer(asked: _Asked, endpoint: Endpoint, place: int, model: str) -> None:
    side = Side(model)
    messages = [{"role": "user", "content": asked.question}]
    chunks = inference.stream(endpoint, model, messages, asked.options)
    try:
        for chunk in chunks:
            side = replace(
                side,
                text=side.text + chunk.text,
                reasoning_tokens=max(side.reasoning_tokens, chunk.reasoning_tokens),
                reply=chunk.reply,
            )
            asked.updates.put((place, side))
            if asked.stop.is_set():
                break
    except StudioError as error:
        side = replace(side, error=error)
    except Exception:  # a reader waits for this thread's word, whatever happens in it
        log.exception("the answer of %s broke off", model)
        side = replace(side, error=ArenaError("arena.error_unexpected"))
    finally:
        chunks.close()  # type: ignore[attr-defined]  # a generator; closing it cancels on the server
    asked.updates.put((place, side if side.over else replace(side, stopped=True)))


def _scenes(asked: _Asked) -> Iterator[Scene]:
    scene = Scene("starting", tuple(Side(model) for model in asked.models))
    yield scene
    while not scene.over:
        try:
            scene = _advanced(scene, asked.updates.get(timeout=STOP_POLL_S))
        except queue.Empty:
            if not asked.stop.is_set():
                continue
            # The server may load for minutes yet; whoever pressed stop does not wait for it.
            sides = tuple(side if side.over else replace(side, stopped=True) for side in scene.sides)
            scene = Scene("ready", sides)
        # What has gathered meanwhile goes into the same picture.
        time.sleep(FRAME_S)
        while not scene.over and not asked.updates.empty():
            scene = _advanced(scene, asked.updates.get())
        yield scene


def _advanced(scene: Scene, update: Update) -> Scene:
    if isinstance(update, StudioError):
        raise update
    if isinstance(update, str):
        return replace(scene, phase=update)
    place, side = update
    sides = list(scene.sides)
    sides[place] = side
    return Scene("ready", tuple(sides))
