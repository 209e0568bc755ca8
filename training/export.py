"""`python -m training.export FOLDER`: writes a finished run out as merged weights or GGUF, or pushes it to the Hub.

Reads FOLDER/config.json, writes FOLDER/status.json and the result below FOLDER; FOLDER/stop or SIGTERM ends it. FOLDER
is exports/<kind> of the run's own folder. It must not know who watches.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from safetensors import SafetensorError

from training.card import write_card
from training.contract import RunFolder, replace_text
from training.errands import ExportRequest, ExportStatus
from training.errors import RunError, Stopped

CONVERTER = "convert_hf_to_gguf.py"
PROMPTS_COMPARED = 4
Say = Callable[..., None]


def main(folder: Path) -> int:
    """Export until done, told to stop, or failed with a sentence; the exit status."""
    me = psutil.Process()
    status = ExportStatus(state="starting", pid=me.pid, pid_started=me.create_time())

    def say(**changes: object) -> None:
        nonlocal status
        if (folder / "stop").exists():
            raise Stopped
        status = ExportStatus.model_validate({**status.model_dump(), **changes})
        replace_text(folder / "status.json", status.model_dump_json())

    def end(**changes: object) -> None:
        replace_text(
            folder / "status.json", ExportStatus.model_validate({**status.model_dump(), **changes}).model_dump_json()
        )

    try:
        say(state="running")
        request = ExportRequest.model_validate_json((folder / "config.json").read_bytes())
        run = RunFolder(folder.parents[1])
        path = {"merged": _merged, "gguf": _gguf, "push": _push}[request.kind](run, request, folder, say)
    except Stopped:
        end(state="cancelled")
        return 0
    except RunError as error:
        end(state="failed", reason=str(error), reason_code=error.code, reason_values=error.values)
        return 1
    except (OSError, SafetensorError) as error:  # safetensors says in its own way that a disk is full
        known = RunError("export.error_write", folder=folder, problem=getattr(error, "strerror", None) or error)
        end(state="failed", reason=str(known), reason_code=known.code, reason_values=known.values)
        return 1
    end(state="finished", path=path)
    return 0


def _merged(run: RunFolder, request: ExportRequest, folder: Path, say: Say) -> str:
    """The merged model's folder."""
    # Their import takes seconds, and the status shall say at once that this process lives.
    from training.engines import load_tokenizer
    from training.merging import compare, merge

    target, unfinished = folder / "model", folder / "model.tmp"
    base = _base_folder(run, request)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        merge(base, run.adapter, unfinished, lambda done, total: say(done=done, total=total))
        tokenizer = load_tokenizer(base)
        tokenizer.save_pretrained(unfinished)  # with the template that was trained with
        say(checked=compare(base, run.adapter, unfinished, _prompts(run, tokenizer)))
        write_card(run, unfinished / "README.md", merged=True)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return str(target)


def _gguf(run: RunFolder, request: ExportRequest, folder: Path, say: Say) -> str:
    """A folder with the GGUF file and the Modelfile that gives Ollama the prompt of the training."""
    converter = _converter()
    merged = Path(_merged(run, request, folder, say))
    target, unfinished = folder / "gguf", folder / "gguf.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    file = unfinished / f"{request.run}.gguf"
    command = [sys.executable, str(converter), str(merged), "--outfile", str(file), "--outtype", "bf16"]
    try:
        # An exception kills the converter, a stop as well.
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(done.stdout)  # noqa: T201 - the log of this process
        if done.returncode or not file.is_file():
            last = next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")
            raise RunError("export.error_converter", converter=converter, problem=last[:200])
        (unfinished / "Modelfile").write_text(_modelfile(file.name, merged), "utf-8")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unfinished, target)
    finally:  # each is as large as the GGUF file
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(merged, ignore_errors=True)
    return str(target)


def _push(run: RunFolder, request: ExportRequest, folder: Path, say: Say) -> str:
    """The address of the repository that the adapter was pushed to; a new one is private."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not get_token():
        raise RunError("export.error_no_token")
    write_card(run, run.adapter / "README.md")
    try:
        api = HfApi()
        api.create_repo(request.repo, private=True, exist_ok=True)
        done = api.upload_folder(
            repo_id=request.repo, folder_path=run.adapter, commit_message=f"Adapter of the run {request.run}"
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise RunError("export.error_push", repo=request.repo, problem=problem) from error
    return str(done.repo_url)


def _base_folder(run: RunFolder, request: ExportRequest) -> Path:
    """The 16-bit weights: the run's own base, or the ones that were named instead."""
    from training.hub import ensure_model

    return Path(ensure_model(request.base_model or run.read_config().base_model))


def _prompts(run: RunFolder, tokenizer: Any) -> list[list[int]]:
    """Whole trained conversations as ids; none where the model is asked by no template."""
    from training.data import encode

    if not tokenizer.chat_template:
        return []
    examples = [example for example in run.read_examples() if example.split == "train"][:PROMPTS_COMPARED]
    return [encode(tokenizer, example.messages(), max_length=512).input_ids for example in examples]


def _converter() -> Path:
    """llama.cpp's converter: in the folder that LLAMA_CPP names, or on the path."""
    named = os.environ.get("LLAMA_CPP", "")
    found = [Path(named, CONVERTER)] if named else []
    if on_path := shutil.which(CONVERTER):
        found.append(Path(on_path))
    for path in found:
        if path.is_file():
            return path
    raise RunError("export.error_no_converter", converter=CONVERTER, folder=named or "–")


def _modelfile(file: str, merged: Path) -> str:
    """Ollama's description of the model: the prompt of the training, word for word, and greedy answers."""
    from training.data import prompt_text
    from training.engines import load_tokenizer

    tokenizer = load_tokenizer(merged)
    prompt = prompt_text(tokenizer, [{"role": "user", "content": "{{ .Prompt }}"}])
    if tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]:
        prompt = prompt.removeprefix(str(tokenizer.bos_token))  # llama.cpp puts it there by itself
    return f'FROM ./{file}\nTEMPLATE """{prompt}"""\nPARAMETER stop "{tokenizer.eos_token}"\nPARAMETER temperature 0\n'


def _stop(number: int, frame: object) -> None:
    raise Stopped


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(Path(sys.argv[1])))
