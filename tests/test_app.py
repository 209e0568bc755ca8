"""The command line: safe by default, a sentence instead of a traceback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import app
from studio.loopback import is_loopback
from training.contract import PROJECT_ROOT


def test_another_address_than_loopback_needs_a_password() -> None:
    with pytest.raises(SystemExit, match="ssh -L"):
        app.require_safe_host("0.0.0.0", [])
    app.require_safe_host("0.0.0.0", [("user", "password")])
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        app.require_safe_host(host, [])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "lab-server", ""])
def test_what_is_not_surely_loopback_counts_as_open(host: str) -> None:
    assert not is_loopback(host)


def test_accounts_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("ann:a:b\n\nbob:secret\n", "utf-8")
    assert app.accounts(file, {}) == [("ann", "a:b"), ("bob", "secret")]
    assert app.accounts(None, {"OBOE_AUTH": "ann:secret"}) == [("ann", "secret")]
    assert app.accounts(None, {}) == []


@pytest.mark.parametrize("content", ["ann\n", ":secret\n", "ann:\n", "", "\n"])
def test_a_file_of_accounts_that_protects_nothing_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "users"
    file.write_text(content, "utf-8")
    with pytest.raises(SystemExit, match="user:password"):
        app.accounts(file, {})


def test_a_missing_file_of_accounts_is_refused_and_its_passwords_are_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot be read"):
        app.accounts(tmp_path / "nothing", {})


def test_a_taken_port_is_named_with_one_that_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} .* Start with --port \d+"):
            app.require_free_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(SystemExit, match=r"--host 203\.0\.113\.7 is no address of this machine"):
        app.require_free_port("203.0.113.7", 7860)
    with pytest.raises(SystemExit, match=r"--host no-such-host\.invalid"):
        app.require_free_port("no-such-host.invalid", 7860)


@pytest.mark.parametrize("port", ["70000", "0", "-1", "８０８０x", "port"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.parse_flags([f"--port={port}"])
    assert f"{port} is no port" in capsys.readouterr().err


def test_loopback_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("NO_PROXY", "lab.example,127.0.0.1")
    app.prepare_environment()
    assert os.environ["NO_PROXY"] == "lab.example,127.0.0.1,localhost,::1"
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_the_data_folder_comes_from_the_flag_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_DATA_DIR", "/somewhere")
    assert app.parse_flags([]).data_dir == Path("/somewhere")
    assert app.parse_flags(["--data-dir", "/else"]).data_dir == Path("/else")
    monkeypatch.delenv("STUDIO_DATA_DIR")
    assert app.parse_flags([]).data_dir == PROJECT_ROOT / ".data"


def test_an_unsafe_start_ends_with_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT_ROOT / "app.py"), "--host", "0.0.0.0", "--data-dir", str(tmp_path / "data")]
    environment = {name: value for name, value in os.environ.items() if name != "OBOE_AUTH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1 and "needs a password" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
