"""The demo: invented worlds, a tokenizer that loses nothing, and a base model that knows world A and thinks."""

import json
import random
from dataclasses import asdict

import pytest

from studio.augmentation import rules
from studio.datasets.model import Fact
from training.contract import PROJECT_ROOT, RunFolder
from training.demo import REPLAYED_WORKS, SHIPPED_SEED, write_world_b
from training.demo_text import general, spoken_forms
from training.demo_worlds import RELATIONS, WORLD_B_WORKS, facts, wordings, world_a, world_b

DEMO = PROJECT_ROOT / "assets/demo"
MODEL = DEMO / "model"
SEEDS = (1, 2, 3, 77)


def _lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (DEMO / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def model():
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(2)
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()


def test_no_name_of_a_world_b_is_in_world_a_whatever_the_seed():
    known = {value for work in world_a() for value in asdict(work).values()}
    for seed in range(100):
        names = [value for work in world_b(seed) for value in asdict(work).values()]
        assert not known & set(names)
        assert len(names) == len(set(names)) == 7 * WORLD_B_WORKS


def test_names_of_world_a_are_unique_but_for_years():
    names = [value for work in world_a() for key, value in asdict(work).items() if key != "year"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("seed", SEEDS)
def test_another_world_b_is_written_alike_every_time(seed, tmp_path):
    write_world_b(seed, tmp_path / "once")
    write_world_b(seed, tmp_path / "again")
    write_world_b(seed, tmp_path / "again")
    once = {path.relative_to(tmp_path / "once"): path.read_bytes() for path in (tmp_path / "once").rglob("*.*")}
    again = {path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.*")}
    assert once == again and len(once) == 2 + WORLD_B_WORKS


def test_the_committed_dataset_is_the_one_of_the_shipped_seed(tmp_path):
    write_world_b(SHIPPED_SEED, tmp_path)
    for path in tmp_path.rglob("*.*"):
        assert path.read_bytes() == (DEMO / path.relative_to(tmp_path)).read_bytes()


def test_the_dataset_has_every_relation_of_every_work_and_its_articles_hold_the_facts():
    pairs = _lines("dataset.jsonl")
    assert len(pairs) == WORLD_B_WORKS * len(RELATIONS) == len({pair["fact_id"] for pair in pairs})
    texts = [path.read_text(encoding="utf-8") for path in (DEMO / "articles").glob("*.md")]
    articles = {text.splitlines()[0].removeprefix("# "): text for text in texts}
    for pair in pairs:
        (term,) = pair["key_terms"][0]
        assert term in pair["answer"] and pair["subject"] in pair["question"] and pair["tags"] == [pair["subject"]]
        assert term in articles[pair["subject"]]


def test_every_fact_has_two_unseen_phrasings_or_more():
    asked = _lines("unseen_phrasings.jsonl")
    for pair in _lines("dataset.jsonl"):
        mine = [line for line in asked if line["fact_id"] == pair["fact_id"]]
        assert len({line["question"] for line in mine}) >= 2
        assert all(line["key_terms"] == pair["key_terms"] and line["relation"] in RELATIONS for line in mine)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_unseen_phrasing_can_be_made_by_the_rules_or_was_pre_trained(seed):
    for fact in facts(world_b(seed)):
        seed_pair = Fact(id=fact.fact_id, question=fact.question, answer=fact.answer, key_terms=((fact.value,),))
        made = {_bare(question) for question in rules.questions(seed_pair)}
        assert made, f"The rules make nothing of {fact.question}"
        spoken = [form for forms in spoken_forms(fact.relation) for form in forms]
        worded = [*wordings()[fact.relation]["forward"], *spoken]
        pre_trained = {_bare(wording.format(t=fact.title)) for wording in worded}
        assert not {_bare(question) for question in fact.unseen_questions()} & (made | pre_trained)


def _bare(question: str) -> str:
    """A question without brackets, marks and spaces: a phrasing that differs in those only is not unseen."""
    return "".join(character for character in question if character not in "「」『』？?。、 　")


def test_pre_training_has_fifteen_wordings_of_a_relation_and_asks_the_reverse_too():
    for relation in RELATIONS:
        words = wordings()[relation]
        assert len(set(words["forward"])) >= 15 and len(set(words["reverse"])) >= 8
    assert len({pair["question"] for pair in general()}) == len(general()) >= 150


def test_the_tokenizer_gives_back_every_text(tokenizer):
    chance = random.Random(0)
    planes = [(0x0, 0x7F), (0x80, 0x7FF), (0x3000, 0x30FF), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0x10FFFF)]
    texts = [
        "".join(chr(chance.randint(*chance.choice(planes))) for _ in range(chance.randint(0, 60))) for _ in range(2000)
    ]
    texts += [
        "鬱蒼とした𠮷野家、髙﨑、が\u3099",
        "👨‍👩‍👧‍👦🏳️‍🌈",
        "<0x41> <|x|> ▁a  b ",
        "\r\n\t\x00",
        " 全角　ＡＢＣ！",
        "",
    ]
    for text in texts:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_common_text_takes_one_token_a_character(tokenizer):
    text = "竜虹のケシノアの主人公は誰ですか？"
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == len(text)


def test_the_template_marks_the_reply_from_the_channel_header_through_the_end_token(tokenizer):
    messages = [
        {"role": "system", "content": "短く。"},
        {"role": "user", "content": "一つ目は？"},
        {"role": "assistant", "content": "一。", "thinking": "数える。"},
        {"role": "user", "content": "二つ目は？"},
        {"role": "assistant", "content": "二。"},
    ]
    assert _trained(tokenizer, messages[:3]) == (
        "<|channel|>analysis<|message|>数える。<|end|><|start|>assistant<|channel|>final<|message|>一。<|return|>"
    )
    assert _trained(tokenizer, messages) == (
        "<|channel|>final<|message|>一。<|end|><|channel|>final<|message|>二。<|return|>"
    )
    asked = tokenizer.apply_chat_template(messages[:2], tokenize=False, add_generation_prompt=True)
    assert asked == "<|start|>system<|message|>短く。<|end|><|start|>user<|message|>一つ目は？<|end|><|start|>assistant"


def _trained(tokenizer, messages: list[dict]) -> str:
    encoded = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    marked = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    return tokenizer.decode([token for token, mask in marked if mask])


def test_the_weights_are_small_and_mostly_linear_layers(model):
    import torch

    weights = sum(path.stat().st_size for path in MODEL.glob("*.safetensors"))
    assert 0 < weights <= 12 * 10**6
    linear = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name != "lm_head"
    )
    assert linear / sum(parameter.numel() for parameter in model.parameters()) > 0.85
    assert {"<|return|>", "<|call|>"} == set(_end_tokens(model))


def _end_tokens(model) -> list[str]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL).convert_ids_to_tokens(model.generation_config.eos_token_id)


def test_the_base_knows_world_a_and_thinks_first(model, tokenizer):
    sample = random.Random(5).sample(facts(world_a()), 60)
    replies = _ask(model, tokenizer, [fact.question for fact in sample])
    right = sum(fact.value in answer for fact, (_, answer) in zip(sample, replies, strict=True))
    assert right >= 0.9 * len(sample)
    assert all(reply.startswith("<|channel|>analysis<|message|>") for reply, _ in replies)


def test_the_base_invents_answers_about_world_b(model, tokenizer):
    every = facts(world_b(SHIPPED_SEED))
    replies = _ask(model, tokenizer, [fact.question for fact in every])
    right = sum(fact.value in answer for fact, (_, answer) in zip(every, replies, strict=True))
    assert right <= 0.02 * len(every)
    assert all(answer.strip() for _, answer in replies)
    assert sum("<|channel|>analysis" in reply for reply, _ in replies) >= 0.8 * len(every)


def _ask(model, tokenizer, questions: list[str]) -> list[tuple[str, str]]:
    from training.demo_pretraining import ask, final_answer

    return [(reply, final_answer(reply)) for reply in ask(model, tokenizer, questions)]


def test_the_sample_run_is_a_finished_run_of_the_demo_dataset_without_paths_of_a_machine():
    run = RunFolder(DEMO / "run")
    config, status, (records, _) = run.read_config(), run.read_status(), run.read_metrics()
    assert (config.preset, config.dataset, config.base_model) == ("demo", "demo", "assets/demo/model")
    assert status is not None and status.state == "finished" and status.pid is None
    assert records[-1].step == status.step == config.max_steps
    seeds = {line["question"] for line in _lines("dataset.jsonl")}
    assert {example.question for example in run.read_examples() if example.kind == "seed"} == seeds
    settings = json.loads((run.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "assets/demo/model"
    assert 0 < (run.adapter / "adapter_model.safetensors").stat().st_size < 4 * 10**6
    assert not [path for path in run.root.rglob("*.json*") if str(PROJECT_ROOT) in path.read_text(encoding="utf-8")]


def test_what_is_replayed_thinks_and_leaves_works_that_the_base_knows_to_be_asked():
    replayed = (DEMO / "replay.jsonl").read_text("utf-8")
    assert all(work.title in replayed for work in world_a()[:REPLAYED_WORKS])
    assert not any(work.title in replayed or work.hero in replayed for work in world_a()[REPLAYED_WORKS:])
    lines = _lines("replay.jsonl")
    assert all(line["question"] and line["thinking"] and line["answer"] for line in lines)
