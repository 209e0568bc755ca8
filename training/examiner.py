"""Asks a model in training some questions, greedily and in batches, and judges what it says.

Asking leaves no trace in the training: no random number is drawn, and modes, gradients and settings are put back. It
must not know when somebody asks, or why.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from training.contract import ProbeAnswer, ProbeQuestion
from training.data import generation_prompt
from training.engines import LoadedBase
from training.reasoning import Vocabulary, detect_format, parse_ids
from training.scoring import verdict
from training.serve_model import end_ids

# A model that thinks first needs room for it; the others get twice what the longest right answer takes.
REASONING_TOKENS = 512
LEAST_TOKENS, MOST_TOKENS = 32, 256


class Examiner:
    """Asks one model. `stop` is looked at after every token."""

    def __init__(self, base: LoadedBase, stop: Callable[[], bool]) -> None:
        self._tokenizer = base.tokenizer
        self._unsloth = base.engine == "unsloth"
        self._stop = stop
        # Tokenizing changes a tokenizer for a moment; decoding must not depend on it.
        self._vocabulary = Vocabulary.of(copy.deepcopy(base.tokenizer))
        self._format = detect_format(self._vocabulary.special, base.tokenizer.chat_template)
        self._end_ids = end_ids(base.model, base.tokenizer, self._vocabulary)

    def ask(
        self, model: Any, questions: Sequence[ProbeQuestion], *, adapter: bool, within_s: float
    ) -> list[ProbeAnswer] | None:
        """The answers of the adapted model, or of its base alone; None where time ran out or somebody stopped it."""
        until = _Until(time.monotonic() + within_s, self._stop)
        prompts = [self._prompt(question) for question in questions]
        with self._undisturbed(model, adapter=adapter):
            replies = self._generate(model, prompts, self._room(questions), until)
        if until.cut:
            return None
        return [self._judged(question, ids) for question, ids in zip(questions, replies, strict=True)]

    def _prompt(self, question: ProbeQuestion) -> list[int]:
        return generation_prompt(self._tokenizer, [{"role": "user", "content": question.question}])

    def _room(self, questions: Sequence[ProbeQuestion]) -> int:
        if self._format != "plain":
            return REASONING_TOKENS
        references = self._tokenizer([question.reference for question in questions], add_special_tokens=False)
        longest = max(len(ids) for ids in references["input_ids"])
        return min(max(2 * longest, LEAST_TOKENS), MOST_TOKENS)

    def _generate(self, model: Any, prompts: list[list[int]], room: int, until: "_Until") -> list[list[int]]:
        tokenizer = self._tokenizer
        pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(self._end_ids)
        width = max(len(prompt) for prompt in prompts)
        device = model.get_input_embeddings().weight.device
        generated = model.generate(
            input_ids=torch.tensor([[pad_id] * (width - len(p)) + p for p in prompts], device=device),
            attention_mask=torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device),
            generation_config=GenerationConfig(
                max_new_tokens=room,
                do_sample=False,
                use_cache=True,
                pad_token_id=pad_id,
                eos_token_id=sorted(self._end_ids),
            ),
            stopping_criteria=StoppingCriteriaList([until]),
        )
        return generated[:, width:].tolist()

    def _judged(self, question: ProbeQuestion, ids: list[int]) -> ProbeAnswer:
        ends = [place for place, token_id in enumerate(ids) if token_id in self._end_ids]
        said = ids[: ends[0] + 1] if ends else ids
        reply = parse_ids(said, self._vocabulary, self._format, finished=bool(ends))
        return ProbeAnswer(
            question=question.question,
            answer=reply.answer,
            reply_state=reply.state,
            verdict=verdict(reply.answer, question.reference, question.key_terms, question.question),
        )

    @contextmanager
    def _undisturbed(self, model: Any, *, adapter: bool) -> Iterator[None]:
        base = model.get_base_model()
        # The model's own settings (sampling, penalties) would come in wherever we say nothing.
        settings, base.generation_config = base.generation_config, GenerationConfig()
        # Switching adapters off and on again makes all of them trainable, the frozen one of a chain too.
        trainable = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        checkpointing = next((mode for part in model.modules() if (mode := _checkpointing(part))), False)
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        try:
            model.eval()
            # no_grad, not inference_mode: what a model caches meanwhile must be fit for training.
            with torch.random.fork_rng(devices), torch.no_grad(), nullcontext() if adapter else model.disable_adapter():
                yield
        finally:
            base.generation_config = settings
            if self._unsloth:  # its `generate` leaves the model prepared for answering
                from unsloth import FastLanguageModel

                FastLanguageModel.for_training(model, use_gradient_checkpointing=checkpointing)
            model.train()
            for parameter, flag in trainable:
                parameter.requires_grad_(flag)


class _Until(StoppingCriteria):
    """Ends a batch for good when its time is over or somebody stops the run: raising would leave hooks behind."""

    def __init__(self, deadline: float, stop: Callable[[], bool]) -> None:
        self._deadline = deadline
        self._stop = stop
        self.cut = False

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.cut = self.cut or time.monotonic() > self._deadline or self._stop()
        return torch.full((input_ids.shape[0],), self.cut, device=input_ids.device)


def _checkpointing(part: torch.nn.Module) -> Any:
    return getattr(part, "gradient_checkpointing", False)
