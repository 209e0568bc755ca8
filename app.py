"""Start Oboe: read the flags, build the page over one data folder, open it on this machine only.

Knows flags, addresses and passwords, not what a page shows or how a model is trained.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.loopback import is_loopback, why_not_listening

if TYPE_CHECKING:
    import gradio as gr

ROOT = Path(__file__).resolve().parent
DEFAULT_PORT = 7860
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NO_PROXY = ("NO_PROXY", "no_proxy")
Accounts = list[tuple[str, str]]


def create_app(data_dir: Path) -> "gr.Blocks":
    """Build the whole UI over one data folder. No network, no server, no torch."""
    from studio.house import open_studio
    from studio.pages.page import build_page

    return build_page(open_studio(data_dir))


def parse_flags(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, with its defaults from the environment."""
    parser = argparse.ArgumentParser(prog="app.py", description="Oboe: teach a language model new facts.")
    folder = os.environ.get("STUDIO_DATA_DIR") or ROOT / ".data"
    parser.add_argument("--data-dir", type=Path, default=Path(folder), help="folder of everything Oboe keeps")
    parser.add_argument("--host", default=LOOPBACK[0], help="address to listen on; other than loopback needs --auth")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT)
    parser.add_argument("--auth", type=Path, metavar="FILE", help="file with one user:password a line")
    parser.add_argument("--check", action="store_true", help="say what this machine offers and lacks, and end")
    return parser.parse_args(arguments)


def accounts(file: Path | None, environment: Mapping[str, str]) -> Accounts:
    """Users and passwords from a file or OBOE_AUTH; SystemExit with a sentence where they cannot be read."""
    try:
        text = file.read_text("utf-8") if file else environment.get("OBOE_AUTH", "")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"--auth {file}: the file cannot be read ({error}). Write one user:password a line.") from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        user, colon, password = line.strip().partition(":")
        if not (user and colon and password):
            source = file or "OBOE_AUTH"
            raise SystemExit(f"{source}, line {number}: this is not user:password. Write one user:password a line.")
        found.append((user, password))
    if file and not found:
        raise SystemExit(f"--auth {file}: the file names no user. Write one user:password a line.")
    return found


def require_safe_host(host: str, users: Accounts) -> None:
    """Refuse to show the studio to other machines without a password."""
    if not is_loopback(host) and not users:
        raise SystemExit(
            f"--host {host} opens Oboe to other machines, so it needs a password: add --auth FILE with user:password "
            "lines or set OBOE_AUTH=user:password. Or stay on 127.0.0.1 and use `ssh -L 7860:127.0.0.1:7860 SERVER`."
        )


def require_free_port(host: str, port: int) -> None:
    """End with a sentence that says what to do where no server can listen."""
    if not (why := why_not_listening(host, port)):
        return
    if why == "elsewhere":
        raise SystemExit(f"--host {host} is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them.")
    if why == "forbidden":
        raise SystemExit(f"--port {port} is for the system only. Choose a port of 1024 or more.")
    near = range(DEFAULT_PORT, DEFAULT_PORT + 100)
    free = next((other for other in near if not why_not_listening(host, other)), None)
    advice = f"Start with --port {free}, or end that program." if free else "End that program."
    raise SystemExit(f"Port {port} of {host} is taken by another program, perhaps an Oboe that already runs. {advice}")


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port. Choose a number from 1024 to 65535.")
    return int(text)


def prepare_environment() -> None:
    """Keep Gradio at home: no analytics, no update check, and no proxy between this machine and itself."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Programs read one spelling or the other, and the lower case wins: both get all hosts of both.
    kept = [host for name in NO_PROXY for host in os.environ.get(name, "").split(",") if host]
    for name in NO_PROXY:
        os.environ[name] = ",".join(dict.fromkeys([*kept, *LOOPBACK]))


def print_checks(data_dir: Path, port: int) -> int:
    """Print what this machine offers and lacks; 1 where a check failed."""
    from studio.environment import checks
    from studio.i18n import locale_of

    named = os.environ.get("LC_ALL") or os.environ.get("LANG", "")
    language = locale_of(named.partition(".")[0].replace("_", "-"))
    found = checks(data_dir, port)
    for check in found:
        sys.stdout.write(f"[{check.state:^7}] {check.text(language)}\n")
        if check.remedy:
            sys.stdout.write(f"{'':10}{check.remedy_text(language)}\n")
    return int(any(check.state == "failed" for check in found))


def main() -> int:
    """Run what the command line asks for."""
    flags = parse_flags()
    prepare_environment()
    if flags.check:
        return print_checks(flags.data_dir, flags.port)
    users = accounts(flags.auth, os.environ)
    require_safe_host(flags.host, users)
    require_free_port(flags.host, flags.port)
    # Uploads and files to download stay in the data folder; Gradio reads this when it is imported.
    os.environ.setdefault("GRADIO_TEMP_DIR", str(flags.data_dir.resolve() / "uploads"))
    from studio.errors import StudioError
    from studio.pages.page import launch

    try:
        page = create_app(flags.data_dir)
    except (StudioError, OSError) as error:
        raise SystemExit(f"The data folder {flags.data_dir} cannot be used: {error}") from None
    launch(page, flags.data_dir, host=flags.host, port=flags.port, auth=users or None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
