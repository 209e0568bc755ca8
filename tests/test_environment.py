import os
import socket
import sys

import pytest

from studio import environment, machine
from studio.environment import CHECKS, Untrainable, check_gpu, checks, require_trainable
from studio.i18n import sentences
from studio.loopback import why_not_listening
from studio.machine import Facts, Probe, catching_proxies, gather, probe, read_probe

GPU = Probe(
    torch="2.14.1+cu130",
    torch_cuda="13.0",
    cuda_available=True,
    device="NVIDIA GeForce RTX 4080",
    vram_bytes=16_375 * 2**20,
    bitsandbytes="0.50.2",
    unsloth="2026.10.7",
)
CPU = Probe(torch="2.14.1+cpu", bitsandbytes="0.50.2", unsloth="2026.10.7")
HIDDEN = GPU.model_copy(update={"cuda_available": False, "device": "", "vram_bytes": 0})
GOOD = Facts(
    nvidia=True,
    driver="580.65.06",
    compiler="/usr/bin/gcc",
    python_header=True,
    probe=GPU,
    data_dir="/srv/oboe",
    file_system="ext4",
    data_free_bytes=10**12,
    cache_dir="/srv/hub",
    cache_free_bytes=10**12,
    port=7860,
    hub_token=True,
)


def judged(**changes):
    facts = GOOD.model_copy(update=changes)
    return {check.name: check for check in (judge(facts) for judge in CHECKS)}


def test_on_a_good_machine_every_check_is_ok_and_needs_no_remedy():
    for check in judged().values():
        assert check.state == "ok", check
        assert check.remedy_text("ja") == ""


@pytest.mark.parametrize(
    ("changes", "name", "state", "said"),
    [
        ({"platform": "darwin"}, "platform", "warning", "darwin"),
        ({"nvidia": False, "probe": CPU}, "gpu", "warning", "No NVIDIA GPU"),
        ({"driver": "535.104.05", "probe": HIDDEN}, "gpu", "failed", "535.104.05 is too old for torch's CUDA 13.0"),
        ({"driver": "580.65", "probe": HIDDEN}, "gpu", "failed", "cannot use it"),
        ({"driver": "", "probe": HIDDEN}, "gpu", "failed", "cannot use it"),
        ({"probe": CPU}, "gpu", "failed", "built for the CPU only"),
        ({"probe": Probe(error="no answer within 60 s")}, "gpu", "failed", "no answer within 60 s"),
        ({"probe": GPU.model_copy(update={"torch_error": "no kernel image"})}, "gpu", "failed", "cannot use it"),
        ({"compiler": ""}, "compiler", "failed", "no C compiler"),
        ({"python_header": False}, "compiler", "failed", "Python.h"),
        ({"nvidia": False, "compiler": "", "probe": CPU}, "compiler", "ok", "not needed"),
        ({"nvidia": False, "probe": CPU}, "unsloth", "ok", "transformers engine"),
        ({"probe": GPU.model_copy(update={"unsloth_error": "boom"})}, "unsloth", "failed", "boom"),
        ({"probe": Probe(torch_error="nms does not exist")}, "torch", "failed", "nms does not exist"),
        ({"probe": Probe(torch="2")}, "bitsandbytes", "failed", "4 bits"),
        ({"data_writable": "Read-only file system"}, "data_folder", "failed", "Read-only file system"),
        ({"journal_wal": False}, "data_folder", "warning", "WAL"),
        ({"file_system": "nfs4"}, "data_folder", "warning", "nfs4"),
        ({"file_system": "9p"}, "data_folder", "warning", "9p"),
        ({"data_free_bytes": 10**8}, "data_folder", "warning", "0.1 GB"),
        ({"cache_free_bytes": 14 * 10**9}, "disk", "warning", "27 GB"),
        ({"proxies": ("HTTP_PROXY",)}, "proxy", "failed", "HTTP_PROXY"),
        ({"port_free": False}, "port", "failed", "7860"),
        ({"hub_offline": True}, "hub", "warning", "HF_HUB_OFFLINE"),
        ({"hub_token": False}, "hub", "ok", "anonymous"),
    ],
)
def test_each_fault_gets_one_sentence_and_one_remedy_in_both_languages(changes, name, state, said):
    check = judged(**changes)[name]
    assert check.state == state
    assert said in check.text("en")
    for locale in ("ja", "en"):
        told = check.text(locale) + check.remedy_text(locale)
        assert "environment." not in told and "{" not in told
        assert bool(check.remedy_text(locale)) == (state != "ok")


def test_gpt_oss_still_fits_where_the_larger_models_do_not():
    check = judged(cache_free_bytes=14 * 10**9)["disk"]
    assert "gpt-oss" not in check.values["missing"] and "13b" in check.values["missing"]


def test_both_languages_have_the_same_sentences():
    keys = [{key for key in sentences(locale) if key.startswith("environment.")} for locale in ("ja", "en")]
    assert keys[0] == keys[1]


def test_a_taken_port_is_found():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        assert why_not_listening("127.0.0.1", holder.getsockname()[1]) == "taken"


@pytest.mark.parametrize(
    ("variables", "caught"),
    [
        ({"HTTP_PROXY": "http://proxy:8080"}, ("HTTP_PROXY",)),
        ({"all_proxy": "socks5://proxy:1080"}, ("all_proxy",)),
        ({"HTTP_PROXY": "http://proxy:8080", "NO_PROXY": "localhost"}, ("HTTP_PROXY",)),
        ({"HTTP_PROXY": "http://proxy:8080", "NO_PROXY": "localhost, 127.0.0.1"}, ()),
        ({"HTTP_PROXY": "http://proxy:8080", "no_proxy": "*"}, ()),
        ({"HTTPS_PROXY": "http://proxy:8080"}, ()),
        ({}, ()),
    ],
)
def test_a_proxy_that_would_catch_loopback_is_found(variables, caught):
    assert catching_proxies(variables) == caught


def test_the_machine_is_looked_at_for_real(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "probe", lambda folder: CPU)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:8080")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    facts = gather(tmp_path, None)
    assert facts.proxies == ("HTTP_PROXY",) and facts.port is None
    assert facts.data_writable == "" and facts.journal_wal and facts.file_system and facts.data_free_bytes > 0
    assert not list(tmp_path.iterdir())
    assert "port" not in {check.name for check in checks(tmp_path)}
    assert "port" in {check.name for check in checks(tmp_path, 1)}


def test_a_folder_that_cannot_be_written_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "probe", lambda folder: CPU)
    (tmp_path / "file").write_text("")
    facts = gather(tmp_path / "file" / "data")
    assert facts.data_writable and not facts.journal_wal
    assert environment.check_data_folder(facts).state == "failed"


def test_the_probe_tells_what_is_installed_and_torch_stays_out_of_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "PROBE_TIMEOUT_S", 400.0)
    told = probe(tmp_path)
    assert told.torch and told.bitsandbytes and told.unsloth and not told.error
    assert "unsloth" not in sys.modules
    assert probe(tmp_path) is told


@pytest.mark.parametrize(
    ("program", "timeout_s", "torch", "said"),
    [
        ('print(\'{"torch": "2"}\', flush=True); import time; time.sleep(60)', 1.0, "2", "no answer"),
        ('print(\'{"torch": "2"}\'); print(\'{"torch": "3\', end=\'\')', 30.0, "2", ""),
        ("print('hello')", 30.0, None, "printed nothing"),
        ("import os; os.kill(os.getpid(), 9)", 30.0, None, "exit code -9"),
        ("raise SystemExit('libcuda is broken')", 30.0, None, "libcuda is broken"),
    ],
)
def test_a_probe_that_hangs_dies_or_babbles_is_read_as_far_as_it_came(program, timeout_s, torch, said):
    told = read_probe([sys.executable, "-c", program], dict(os.environ), timeout_s)
    assert told.torch == torch
    assert said in told.error and bool(said) == bool(told.error)


def test_a_run_is_refused_on_a_machine_whose_gpu_torch_cannot_use(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "nvidia_gpu_present", lambda: True)
    monkeypatch.setattr(environment, "nvidia_driver", lambda: "535.104.05")
    monkeypatch.setattr(environment, "probe", lambda folder: HIDDEN)
    with pytest.raises(Untrainable) as refused:
        require_trainable(tmp_path)
    assert "535.104.05" in str(refused.value) and "580 以降に更新" in refused.value.text("ja")


def test_a_run_is_refused_politely_elsewhere_than_on_linux(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.sys, "platform", "win32")
    monkeypatch.setattr(environment, "nvidia_gpu_present", lambda: False)
    with pytest.raises(Untrainable, match="Linux and WSL2 only"):
        require_trainable(tmp_path)


def test_a_gpu_hidden_on_purpose_is_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not machine.nvidia_gpu_present()
    assert check_gpu(Facts(nvidia=False, probe=HIDDEN)).state == "warning"
