"""One 4-bit base with its adapters, answering batches of questions; only one thread may use it.

It must not know of HTTP or of waiting. That a tuned answer really comes from its adapter is checked here: a canary
compares logits with those at loading, because a leaked PEFT hook changes answers without any error.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from training.data import generation_prompt
from training.engines import LoadedBase
from training.errors import RunError
from training.reasoning import IdSplitter, Vocabulary, detect_format
from training.serve_adapters import check_adapter, purge_adapter_hooks, tensor_names
from training.serve_job import Job, Sampling

log = logging.getLogger(__name__)

BASE = "base"
PEFT_BASE = "__base__"  # PEFT's own word for "no adapter" in a mixed batch
END_TOKENS = ("<|return|>", "<|call|>", "<|endoftext|>")
CANARY = [{"role": "user", "content": "主人公は誰ですか？"}]
PROBE = [{"role": "user", "content": "「Oboe」とは何ですか？ひとことで、やさしく説明してください。"}]
PROBE_TOKENS = 12
UNSLOTH_TOKENS = 4096  # what `load_base` has unsloth prepare


@dataclass
class Adapter:
    """An adapter in the model: the name that PEFT knows it by, and what it said to the canary when it was loaded."""

    inner: str
    folder: Path
    canary: torch.Tensor  # [vocab] last logits
    untrained: bool  # says exactly what the base says
    mixable: bool  # answers in a batch with others as it does alone


class ServedModel:
    """The base and its adapters. `known` are the adapters that may be asked, by model name; they load when asked."""

    def __init__(self, loaded: LoadedBase, base_model: str, known: dict[str, Path]) -> None:
        self.base_model = base_model
        self.known = known
        self.tokenizer = loaded.tokenizer
        self._base: Any = loaded.model.eval()
        self._peft: Any = None
        self._adapters: dict[str, Adapter] = {}
        self._lost: dict[str, RunError] = {}
        self._loads = 0
        self._fingerprint = loaded.fingerprint
        # Tokenizing changes a tokenizer for a moment, and decoding happens on another thread.
        self.vocabulary = Vocabulary.of(copy.deepcopy(loaded.tokenizer))
        self.reasoning_format = detect_format(self.vocabulary.special, loaded.tokenizer.chat_template)
        self.context_tokens = _context_tokens(self._base, loaded)
        self.end_ids = end_ids(self._base, loaded.tokenizer, self.vocabulary)
        # A model's own generation settings (sampling, penalties) would come in wherever a request says nothing.
        self._base.generation_config = GenerationConfig()
        self._canary_ids = generation_prompt(self.tokenizer, CANARY)
        self._base_canary = self._canary_logits(None)

    @property
    def mixed_batches(self) -> bool:
        """Whether base and adapters answer in one batch."""
        return bool(self._adapters) and all(adapter.mixable for adapter in self._adapters.values())

    def untrained(self, name: str) -> bool:
        """Whether a loaded adapter changes nothing."""
        return name in self._adapters and self._adapters[name].untrained

    @property
    def default_max_tokens(self) -> int:
        """Tokens of a reply where the request names no limit; one that thinks first needs more."""
        return 256 if self.reasoning_format == "plain" else 512

    def prompt(self, messages: Sequence[dict[str, str]], reasoning_effort: str | None) -> list[int]:
        """Token ids that ask for an answer. Call it from one thread only: tokenizing changes the tokenizer."""
        effort = {"reasoning_effort": reasoning_effort} if reasoning_effort else {}
        try:
            return generation_prompt(self.tokenizer, messages, **effort)
        except TemplateError as error:
            raise RunError("inference.error_template_refused", base_model=self.base_model, problem=error) from error

    def splitter(self, prompt_ids: Sequence[int]) -> IdSplitter:
        """A splitter for the reply to this prompt, which may end inside `<think>`."""
        names = {number: name for name, number in self.vocabulary.special.items()}
        tail = "".join(names.get(number) or self.vocabulary.decode([number]) for number in prompt_ids[-8:])
        opened = tail.rstrip().endswith("<think>")
        return IdSplitter(self.vocabulary, self.reasoning_format, opened=opened)

    def load(self, name: str) -> None:
        """Have a known adapter in the model.

        Raises:
            RunError: its folder is incomplete, it belongs to another base, its tensors do not fit, or it (or the base)
                was found to answer wrongly before.
        """
        if lost := self._lost.get(BASE) or self._lost.get(name):
            raise lost
        if name == BASE or name in self._adapters:
            return
        folder = self.known[name]
        check_adapter(name, folder, self.base_model, self._fingerprint)
        inner = self._attach(name, folder)
        logits = self._canary_logits(inner)
        untrained = bool(torch.equal(logits, self._base_canary))
        self._adapters[name] = Adapter(inner, folder, logits, untrained, mixable=self._probe(inner))
        if untrained:
            log.warning("adapter %s changes nothing: it answers exactly as the base does", name)
        log.info("loaded adapter %s, mixed batches: %s", name, self._adapters[name].mixable)

    def groups(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """Jobs that can answer in one batch: all of them, or one adapter at a time."""
        adapters = [self._adapters[job.model] for job in jobs if job.model != BASE]
        if all(adapter.mixable for adapter in adapters):
            return [list(jobs)]
        return [[job for job in jobs if job.model == name] for name in dict.fromkeys(job.model for job in jobs)]

    def answer(self, jobs: Sequence[Job]) -> None:
        """Generate until every job is done; greedy jobs of one batch answer as they would alone."""
        inner = [None if job.model == BASE else self._adapters[job.model].inner for job in jobs]
        self._generate([job.prompt_ids for job in jobs], inner, jobs, jobs[0].sampling)

    def check(self) -> None:
        """Compare with the canary, and load afresh each adapter that no longer says what it said.

        What answers wrongly even then is never asked again: an error is better than the base's answer under the name
        of an adapter.
        """
        self._restore()
        if not self._base_is_itself():
            self._lost[BASE] = RunError("inference.error_base_lost", base_model=self.base_model)
            log.error("%s", self._lost[BASE])
            return
        for name, adapter in list(self._adapters.items()):
            if not self._is_itself(adapter):
                log.error("adapter %s no longer says what it said when it was loaded; loading it again", name)
                self._load_again(name, adapter)

    def _load_again(self, name: str, adapter: Adapter) -> None:
        del self._adapters[name]
        self._detach(adapter.inner)
        self.load(name)
        fresh = self._adapters[name]
        fresh.canary, fresh.untrained = adapter.canary, adapter.untrained
        if not self._is_itself(fresh):
            self._lost[name] = RunError("inference.error_adapter_lost", model=name)
            log.error("%s", self._lost[name])

    def _attach(self, name: str, folder: Path) -> str:
        from peft import PeftConfig, PeftModelForCausalLM, get_peft_model_state_dict

        self._loads += 1
        inner = f"adapter{self._loads}"  # a run's id may hold characters that cannot name a module
        try:
            if self._peft is None:
                config = PeftConfig.from_pretrained(folder)
                self._peft = PeftModelForCausalLM(self._base, config, adapter_name=inner)
            self._peft.load_adapter(folder, adapter_name=inner, is_trainable=False, torch_device=str(self._device()))
            taken = set(get_peft_model_state_dict(self._peft, adapter_name=inner))
        except (RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
            self._detach(inner)
            problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError("inference.error_adapter_unloadable", model=name, folder=folder, problem=problem) from error
        if taken != tensor_names(folder):
            self._detach(inner)
            raise RunError("inference.error_adapter_misfit", model=name, base_model=self.base_model)
        self._peft.eval()
        return inner

    def _detach(self, inner: str) -> None:
        if self._peft is None or self._adapters:
            if self._peft is not None and inner in self._peft.peft_config:
                self._peft.delete_adapter(inner)
            return
        self._base, self._peft = self._peft.unload(), None

    def _probe(self, inner: str) -> bool:
        """Whether base and this adapter say the same in one padded batch as each alone; not every engine can."""
        prompts = [self._canary_ids, generation_prompt(self.tokenizer, PROBE)]
        rows = [(prompt, adapter) for prompt in prompts for adapter in (None, inner)]
        try:
            alone = [self._probe_tokens([row]) for row in rows]
            together = self._probe_tokens(rows)
        except Exception:  # whatever an engine raises here, it cannot mix, and that is the answer
            log.exception("base and adapter cannot answer in one batch")
            return False
        finally:
            self._restore()
        return [tokens for one in alone for tokens in one] == together

    def _probe_tokens(self, rows: Sequence[tuple[list[int], str | None]]) -> list[list[int]]:
        said: list[list[int]] = [[] for _ in rows]
        jobs = [_Collector(tokens, self.end_ids) for tokens in said]
        self._generate([prompt for prompt, _ in rows], [inner for _, inner in rows], jobs, Sampling())
        return said

    def _generate(
        self,
        prompts: Sequence[list[int]],
        adapters: Sequence[str | None],
        jobs: "Sequence[Job | _Collector]",
        sampling: Sampling,
    ) -> None:
        pad_id = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(self.end_ids)
        width = max(len(prompt) for prompt in prompts)
        input_ids = torch.tensor([[pad_id] * (width - len(p)) + p for p in prompts], device=self._device())
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self._device())
        config = _generation_config(sampling, max(job.max_tokens for job in jobs), pad_id, self.end_ids)
        if sampling.repeatable:
            torch.manual_seed(sampling.seed or 0)
        with torch.inference_mode(), self._speaking(adapters) as (model, extra):
            model.generate(
                input_ids=input_ids,
                attention_mask=mask,
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([_Listener(jobs)]),
                **extra,
            )

    @contextmanager
    def _speaking(self, adapters: Sequence[str | None]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The model with these adapters, one per row, and what `generate` has to be told."""
        one = set(adapters)
        try:
            if self._peft is None:
                yield self._base, {}
            elif one == {None}:
                with self._peft.disable_adapter():
                    yield self._peft, {}
            elif len(one) == 1:
                self._peft.set_adapter(adapters[0], inference_mode=True)
                yield self._peft, {}
            else:
                yield self._peft, {"adapter_names": [adapter or PEFT_BASE for adapter in adapters]}
        finally:
            self._restore()

    def _restore(self) -> None:
        if self._peft is None:
            return
        if purged := purge_adapter_hooks(self._peft):
            log.warning("removed %d hooks that a batch left behind", purged)
        self._peft.base_model.enable_adapter_layers()

    @torch.inference_mode()
    def _canary_logits(self, inner: str | None) -> torch.Tensor:
        """[vocab] the last logits of the canary's prompt."""
        ids = torch.tensor([self._canary_ids], device=self._device())
        with self._speaking([inner]) as (model, _):
            return model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1].float().cpu()

    def _is_itself(self, adapter: Adapter) -> bool:
        """Whether the adapter is nearer to what it said at loading than to the base; no threshold to tune."""
        now = self._canary_logits(adapter.inner)
        return adapter.untrained or _distance(now, adapter.canary) < _distance(now, self._base_canary)

    def _base_is_itself(self) -> bool:
        now = self._canary_logits(None)
        tuned = [adapter for adapter in self._adapters.values() if not adapter.untrained]
        return all(_distance(now, self._base_canary) < _distance(now, adapter.canary) for adapter in tuned)

    def _device(self) -> torch.device:
        return self._base.get_input_embeddings().weight.device


class _Listener(StoppingCriteria):
    """Hands each new token to its row's job. Stopping this way, not by raising, leaves PEFT's hooks in order."""

    def __init__(self, jobs: "Sequence[Job | _Collector]") -> None:
        self._jobs = jobs

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        for job, token_id in zip(self._jobs, input_ids[:, -1].tolist(), strict=True):
            if not job.done:
                job.push(token_id)
        return torch.tensor([job.done for job in self._jobs], device=input_ids.device)


class _Collector:
    """A row of the probe."""

    max_tokens = PROBE_TOKENS

    def __init__(self, tokens: list[int], end_ids: frozenset[int]) -> None:
        self._tokens, self._end_ids, self.done = tokens, end_ids, False

    def push(self, token_id: int) -> None:
        self._tokens.append(token_id)
        self.done = token_id in self._end_ids or len(self._tokens) >= self.max_tokens


def _generation_config(sampling: Sampling, max_tokens: int, pad_id: int, end_ids: frozenset[int]) -> GenerationConfig:
    chosen: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    return GenerationConfig(max_new_tokens=max_tokens, pad_token_id=pad_id, eos_token_id=sorted(end_ids), **chosen)


def end_ids(model: Any, tokenizer: Any, vocabulary: Vocabulary) -> frozenset[int]:
    """The tokens that end a reply: the model's, the tokenizer's and those that its reasoning format has besides."""
    own = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    ids |= {vocabulary.special.get(name) for name in END_TOKENS}
    return frozenset(number for number in ids if number is not None)


def _context_tokens(model: Any, loaded: LoadedBase) -> int:
    """Tokens that prompt and reply may have together. A tokenizer without a limit claims a huge one."""
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    prepared = UNSLOTH_TOKENS if loaded.engine == "unsloth" else None
    return min(number for number in (length, loaded.tokenizer.model_max_length, prepared) if number)


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())
