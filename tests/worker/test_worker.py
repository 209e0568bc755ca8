"""A run from its folder to its end, as a process and inside this one."""

import json
import math
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.running import has_steps, make_examples, make_run, spawn, wait_until, write_examples
from training import worker
from training.contract import PROJECT_ROOT, RunFolder
from training.engines import fingerprint
from training.errors import RunError
from training.serve_adapters import check_adapter

pytestmark = pytest.mark.usefixtures("signals_restored")


def status_of(folder: RunFolder):
    status = folder.read_status()
    assert status is not None
    return status


def failure(folder: RunFolder) -> tuple[str, str]:
    """Run the worker in this process and give the code and the sentence that it failed with."""
    assert worker.main([str(folder.root)]) == 1
    status = status_of(folder)
    assert status.state == "failed"
    assert status.finished_at is not None
    return status.reason_code, status.reason


def test_a_finished_run_says_what_was_trained_and_how(finished_run: RunFolder) -> None:
    status = status_of(finished_run)
    assert (status.state, status.phase, status.engine, status.device) == ("finished", None, "transformers", "CPU")
    assert (status.step, status.total_steps, status.examples, status.facts) == (10, 10, 18, 6)
    assert 0.7 < status.four_bit_share < 0.75
    assert status.adapter_modules == {"attention": 8, "mlp": 6}
    assert status.trainable_parameters == 2 * 4 * (2 * 128 + 2 * 96 + 3 * 192)
    assert status.trained_tokens > 0
    assert (status.truncated, status.untrained) == (0, 0)
    assert status.pid and status.pid_started
    assert status.started_at <= status.finished_at


def test_metrics_hold_one_line_a_step_and_one_an_evaluation(finished_run: RunFolder) -> None:
    records, _ = finished_run.read_metrics()
    steps = [record for record in records if record.loss is not None]
    assert [record.step for record in steps] == list(range(1, 11))
    assert [record.step for record in records if record.eval_loss is not None] == [5, 10]
    assert all(record.tokens_per_s and record.memory_bytes and record.total_steps == 10 for record in steps)
    assert [record.elapsed_s for record in records] == sorted(record.elapsed_s for record in records)
    assert steps[-1].eta_s == 0
    assert steps[-1].loss < steps[0].loss
    assert status_of(finished_run).train_loss == pytest.approx(sum(record.loss for record in steps) / 10, abs=1e-5)


def test_the_adapter_is_peft_s_and_names_no_folder_but_the_configured_base(finished_run: RunFolder) -> None:
    assert sorted(path.name for path in finished_run.adapter.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "base.json",
    ]
    settings = json.loads((finished_run.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    base_model = finished_run.read_config().base_model
    assert settings["base_model_name_or_path"] == base_model
    card = (finished_run.adapter / "README.md").read_text(encoding="utf-8").replace(base_model, "")
    assert "finished after 10 of 10 steps" in card and str(finished_run.root.parent) not in card
    assert set(settings["target_modules"]) == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }
    weights = load_file(finished_run.adapter / "adapter_model.safetensors")
    assert all(torch.any(weight != 0) for name, weight in weights.items() if "lora_B" in name)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


def test_nothing_is_written_beside_the_run_s_files(finished_run: RunFolder) -> None:
    assert {path.name for path in finished_run.root.iterdir() if not path.name.startswith(".")} == {
        "config.json", "examples.jsonl", "metrics.jsonl", "status.json", "worker.log", "checkpoints", "adapter",
    }  # fmt: skip
    assert list(finished_run.checkpoints.iterdir()) == []


def test_the_four_bit_base_stays_as_it_was_and_the_adapter_trains_in_float32(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import recipe

    seen = {}

    def keep(model, config, targets, folder, fingerprint) -> None:
        seen["after"] = [(p.quant_type, p.data.clone()) for p in model.parameters() if hasattr(p, "quant_type")]
        seen["dtypes"] = {p.dtype for p in model.parameters() if p.requires_grad}

    original = recipe._load

    def load(*arguments):
        base = original(*arguments)
        seen["before"] = [p.data.clone() for p in base.model.parameters() if hasattr(p, "quant_type")]
        return base

    monkeypatch.setattr(recipe, "_load", load)
    monkeypatch.setattr(recipe, "save_adapter", keep)
    assert worker.main([str(make_run(tmp_path, tiny_model, max_steps=2).root)]) == 0
    assert len(seen["before"]) == 14
    assert all(
        kind == "nf4" and torch.equal(old, new) for old, (kind, new) in zip(seen["before"], seen["after"], strict=True)
    )
    assert seen["dtypes"] == {torch.float32}


def test_an_adapter_is_refused_once_other_weights_lie_under_its_base_s_name(tiny_model: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    run = make_run(tmp_path / "run", base, max_steps=1)
    assert worker.main([str(run.root)]) == 0
    check_adapter("run", run.adapter, str(base), fingerprint(base))
    weights = load_file(base / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, base / "model.safetensors")
    with pytest.raises(RunError, match="not those that the adapter run was trained on"):
        check_adapter("run", run.adapter, str(base), fingerprint(base))


def test_the_same_seed_gives_the_same_adapter(tiny_model: Path, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, tiny_model, max_steps=3) for name in ("one", "two")]
    assert [worker.main([str(run.root)]) for run in runs] == [0, 0]
    one, two = (load_file(run.adapter / "adapter_model.safetensors") for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_stop_file_ends_the_run_after_a_step_and_saves_the_adapter(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, tiny_model, max_steps=100_000)

    def stop_after_two_steps() -> None:
        wait_until(lambda: has_steps(folder, 2))
        folder.stop.touch()

    watcher = threading.Thread(target=stop_after_two_steps)
    watcher.start()
    assert worker.main([str(folder.root)]) == 0
    watcher.join(timeout=10)
    status = status_of(folder)
    assert status.state == "stopped"
    assert 2 <= status.step < 100_000
    assert (folder.adapter / "adapter_model.safetensors").is_file()


def test_a_run_stopped_before_its_first_step_ends_cleanly(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, tiny_model)
    folder.stop.touch()
    assert worker.main([str(folder.root)]) == 0
    assert status_of(folder).state == "stopped"
    assert not folder.adapter.exists()


def test_sigterm_saves_the_adapter_and_kill_leaves_a_readable_status(tiny_model: Path, tmp_path: Path) -> None:
    asked, killed = (make_run(tmp_path / name, tiny_model, max_steps=100_000) for name in ("asked", "killed"))
    processes = [spawn(asked), spawn(killed)]
    try:
        wait_until(lambda: has_steps(asked, 2) and has_steps(killed, 2), seconds=180)
        processes[0].send_signal(signal.SIGTERM)
        processes[1].kill()
        assert processes[0].wait(timeout=60) == 0
        processes[1].wait(timeout=10)
    finally:
        for process in processes:
            process.kill()
    assert status_of(asked).state == "stopped"
    assert (asked.adapter / "adapter_config.json").is_file()
    assert status_of(killed).state == "running"
    assert not killed.adapter.exists()


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"base_model": "/no/such/model"}, "worker.error_base_model_missing", "/no/such/model"),
        ({"target_modules": ["experts"]}, "worker.error_target_unmatched", "experts"),
        ({"max_length": 8}, "worker.error_all_truncated", "max_length is 8"),
        ({"engine": "unsloth"}, "worker.error_unsloth_needs_cuda", "unsloth"),
    ],
)
def test_a_configuration_that_cannot_work_fails_with_a_sentence(
    tiny_model: Path, tmp_path: Path, changes: dict, code: str, part: str
) -> None:
    found, sentence = failure(make_run(tmp_path, **({"base_model": tiny_model} | changes)))
    assert found == code
    assert part in sentence


def test_a_broken_configuration_names_the_field(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, tiny_model)
    broken = json.loads(folder.config.read_text(encoding="utf-8")) | {"learning_rate": -1}
    folder.config.write_text(json.dumps(broken), encoding="utf-8")
    code, sentence = failure(folder)
    assert code == "worker.error_config_unreadable"
    assert "learning_rate" in sentence


def test_a_run_without_examples_to_train_says_so(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, tiny_model)
    write_examples(folder, [example for example in make_examples() if example.split != "train"])
    assert failure(folder)[0] == "worker.error_no_examples"
    folder.examples.write_text('{"id": 1', encoding="utf-8")
    assert failure(folder)[0] == "worker.error_examples_unreadable"


def test_truncation_is_counted_in_the_status(tiny_model: Path, tmp_path: Path) -> None:
    folder = make_run(tmp_path, tiny_model, max_steps=1)
    write_examples(folder, [make_examples()[1], make_examples()[2].model_copy(update={"answer": "長い答え。" * 300})])
    assert worker.main([str(folder.root)]) == 0
    assert status_of(folder).truncated == 1


def test_an_unexpected_failure_keeps_its_traceback_in_the_log(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments) -> None:
        raise ZeroDivisionError("no steps")

    monkeypatch.setattr("training.recipe.train", broken)
    code, sentence = failure(make_run(tmp_path, tiny_model))
    assert code == "worker.error_unexpected"
    assert "ZeroDivisionError: no steps" in sentence
    assert "Traceback" in caplog.text


def test_a_loss_that_is_no_number_ends_the_run(tiny_model: Path, tmp_path: Path) -> None:
    from training.callbacks import CountingCollator, MetricsCallback
    from training.errors import RunError
    from training.report import Report

    folder = make_run(tmp_path, tiny_model)
    callback = MetricsCallback(folder, Report(folder), CountingCollator(dict), 0.5)
    state = SimpleNamespace(global_step=7, max_steps=9, epoch=0.1)
    with pytest.raises(RunError, match=r"nan at step 7.*0\.5"):
        callback.on_log(None, state, None, {"loss": math.nan})
    for norm in (math.nan, math.inf):  # clipping divides by it
        with pytest.raises(RunError, match=rf"gradient norm became {norm} at step 7.*0\.5"):
            callback.on_log(None, state, None, {"loss": 1.0, "grad_norm": norm})
    callback.on_train_begin(SimpleNamespace(fp16=True, world_size=1), SimpleNamespace(max_steps=9), None)
    callback.on_log(None, state, None, {"loss": 1.0, "grad_norm": math.inf})
    assert folder.read_metrics()[0][-1].grad_norm is None


def test_every_failure_has_the_same_placeholders_in_both_languages() -> None:
    japanese, english = (
        json.loads((PROJECT_ROOT / "assets" / "i18n" / language / "worker.json").read_text(encoding="utf-8"))
        for language in ("ja", "en")
    )
    assert japanese.keys() == english.keys()
    for key, sentence in english.items():
        names = {part.split("}")[0] for part in sentence.split("{")[1:]}
        assert names == {part.split("}")[0] for part in japanese[key].split("{")[1:]}, key
