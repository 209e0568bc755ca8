"""The page as a browser gets it: light, from this machine only, and blind to every file but the exports."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from studio.house import open_studio
from studio.pages.page import build_page, launch
from training.contract import PROJECT_ROOT

# Components of tabs that are not open cost little more than their line in the page's description, but not nothing:
# before this grows, look at what `bench_startup` says.
MOST_COMPONENTS = 200
LAYOUT = {"row", "column", "form", "tabs", "tabitem", "accordion", "state", "api"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    data_dir = tmp_path_factory.mktemp("data")
    page = build_page(open_studio(data_dir))
    _, address, _ = launch(page, data_dir, prevent_thread_lock=True, quiet=True)
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        yield client, data_dir
    page.close()


def file_of(client: httpx.Client, path: Path) -> int:
    return client.get(f"/gradio_api/file={path}").status_code


def test_the_page_names_no_address_outside_this_machine(site: tuple[httpx.Client, Path]) -> None:
    client, _ = site
    fetched = client.get("/").text + client.get("/theme.css").text
    addresses = re.findall(r"(?:src|href)=[\"'](?:https?:)?//([^/\"']+)", fetched) + re.findall(
        r"url\(['\"]?https?:", fetched
    )
    assert [address for address in addresses if not address.startswith("127.0.0.1")] == []


def test_the_page_stays_light(site: tuple[httpx.Client, Path]) -> None:
    client, _ = site
    components = client.get("/config").json()["components"]
    assert sum(component["type"] not in LAYOUT for component in components) < MOST_COMPONENTS


def test_no_button_is_an_endpoint(site: tuple[httpx.Client, Path]) -> None:
    client, _ = site
    public = [dep for dep in client.get("/config").json()["dependencies"] if dep["api_visibility"] == "public"]
    assert all(not dep["targets"] or dep["targets"] == [[None, None]] for dep in public)


def test_a_browser_can_fetch_exports_and_nothing_else(site: tuple[httpx.Client, Path]) -> None:
    client, data_dir = site
    for path in (data_dir / "exports" / "demo.jsonl", data_dir / "server" / "config.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}", "utf-8")
    assert file_of(client, data_dir / "exports" / "demo.jsonl") == 200
    for path in (data_dir / "server" / "config.json", data_dir / "studio.db", PROJECT_ROOT / "app.py"):
        assert file_of(client, path) == 403
    assert file_of(client, data_dir / "exports" / ".." / "studio.db") == 403
