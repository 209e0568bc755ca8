"""A job augments a dataset apart from the page, keeps every paid reply, and says what went wrong in a sentence."""

import json
import resource
import signal
import socket
from pathlib import Path

import pytest

from studio.augmentation.jobs import AugmentJobs
from studio.augmentation.keys import key_for
from studio.augmentation.ledger import Entry, Ledger, read_entries
from studio.augmentation.plan import Plan
from studio.datasets import Datasets
from studio.errors import AugmentError, UnknownDataset, UnknownJob
from tests.augment_fixtures import PLAN, ask, ended, fill, new_datasets, wait_until
from tests.openai_server import Answer, Server, completion, error, openai_server, wordings

KEY = "sk-test-0123456789-never-on-disk"
EXPLANATION = ("柱とはどのような剣士ですか？", "最高位に立つ九人の剣士です。")


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return new_datasets(tmp_path)


@pytest.fixture
def jobs(datasets: Datasets, tmp_path: Path) -> AugmentJobs:
    return AugmentJobs(datasets, tmp_path / "augmentation")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OBOE_API_KEY", KEY)
    monkeypatch.setenv("OBOE_API_URL", "http://127.0.0.1:9/v1")  # `ask` binds the key to the server of its test


def test_rules_fill_the_plan_and_a_second_run_adds_nothing(datasets, jobs):
    fill(datasets, 3)
    first = ended(jobs, jobs.start("anime", plan=Plan()))
    assert (first.state, first.done, first.total, first.made, first.added) == ("finished", 3, 3, 93, 93)
    assert datasets.counts("anime").examples == 3 * 32 and datasets.counts("anime").pending == 0
    assert ended(jobs, jobs.start("anime", plan=Plan())).added == 0


def test_one_undo_takes_a_job_back(datasets, jobs):
    fill(datasets, 2)
    ended(jobs, jobs.start("anime", plan=Plan()))
    datasets.undo("anime")
    assert datasets.counts("anime").examples == 2


def test_a_fact_that_needs_a_model_is_listed_with_its_reason(datasets, jobs):
    fill(datasets, 1)
    datasets.add_fact("anime", *EXPLANATION)
    status = ended(jobs, jobs.start("anime", plan=Plan()))
    assert (status.needs_model, status.failed_facts, status.made, status.planned) == (1, 1, 31, 62)
    assert status.failed[0].question == EXPLANATION[0] and "モデル" in status.failed[0].reason.text("ja")


def test_a_shared_value_is_left_out_in_reverse_and_counted(datasets, jobs):
    for title in ("灯の海", "砂の塔"):
        datasets.add_fact("anime", f"{title}の放送年は何年ですか？", f"{title}の放送年は2031年です。")
    status = ended(jobs, jobs.start("anime", plan=Plan()))
    assert status.reverse_left_out == 2 and not datasets.counts("anime").by_kind.get("reverse")
    assert status.made == 2 * 15


def test_an_endpoint_is_asked_once_per_fact_and_the_product_is_made_here(datasets, jobs):
    fill(datasets, 4)
    with openai_server(lambda state, request: wordings(request)) as server:
        status = ask(jobs, server)
    assert (status.state, status.made, status.tokens, len(server.requests)) == ("finished", 4 * 9, 4 * 30, 4)
    made = [example for example in datasets.page("anime", size=100).examples if example.kind != "seed"]
    assert {(example.generator, example.prompt_version) for example in made} == {("tiny", "augment.v2.ja")}
    assert set(server.authorizations) == {f"Bearer {KEY}"}
    assert not any("temperature" in request or "max_tokens" in request for request in server.requests)


def test_a_reply_is_not_paid_for_twice(datasets, jobs, tmp_path):
    fill(datasets, 3)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
        later = AugmentJobs(datasets, tmp_path / "augmentation")
        again = ask(later, server)
        assert len(server.requests) == 3 and (again.reused, again.tokens, again.added) == (3, 0, 0)
        first = datasets.facts("anime")[0]
        seed = next(e for e in datasets.page("anime", size=100).examples if e.fact_id == first.id and e.kind == "seed")
        datasets.edit_example("anime", seed.id, answer="作品0の主人公は別人です。")
        ask(later, server)
        assert len(server.requests) == 4


def test_what_a_preview_paid_for_the_job_after_it_does_not_pay_for_again(datasets, jobs):
    fill(datasets, 4)
    with openai_server(lambda state, request: wordings(request)) as server:
        options = {"base_url": server.base_url, "model": "tiny"}
        shown = jobs.preview(jobs.plan_job("anime", generator="endpoint", plan=PLAN, options=options))
        assert all(previewed.made for previewed in shown) and len(server.requests) == 3
        assert ask(jobs, server).reused == 3 and len(server.requests) == 4


def test_the_key_is_written_nowhere(datasets, jobs, tmp_path):
    fill(datasets, 2)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
    with openai_server(lambda state, request: error(400, f"bad request, key {KEY}")) as server:
        refused = ask(jobs, server, model="other")
    assert refused.state == "failed" and KEY not in refused.model_dump_json() and KEY not in refused.reason.text("ja")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5 and not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_server_without_json_schema_is_asked_for_json_and_then_for_text(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        return error(400, "response_format is not supported") if "response_format" in request else wordings(request)

    fill(datasets, 3)
    with openai_server(script) as server:
        status = ask(jobs, server, concurrency=1)
    assert (status.state, status.made, len(server.requests)) == ("finished", 27, 5)


def test_json_inside_prose_is_read(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        content = json.loads(wordings(request)[2])["choices"][0]["message"]["content"]
        return completion(f"はい、作りました。\n```json\n{content}\n```\n以上です。")

    fill(datasets, 1)
    with openai_server(script) as server:
        assert ask(jobs, server).made == 9


def test_half_a_character_in_a_reply_costs_that_text_alone(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        reply = json.loads(json.loads(wordings(request)[2])["choices"][0]["message"]["content"])
        spoilt = reply | {"questions": ["主人公は\ud83dですか？", *reply["questions"]], "answer": "答え\x00"}
        return completion(json.dumps(spoilt))

    fill(datasets, 2)
    with openai_server(script) as server:
        status = ask(jobs, server)
    assert (status.state, status.failed_facts) == ("finished", 0) and status.added > 2
    texts = [example.question + example.answer for example in datasets.page("anime", size=100).examples]
    assert not any("\ud83d" in text or "\x00" in text for text in texts)


def test_what_a_person_deleted_comes_back_only_to_be_decided(datasets, jobs):
    fill(datasets, 2)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
        whole = datasets.counts("anime")
        made = [e for e in datasets.page("anime", size=100).examples if e.kind == "paraphrase"][:2]
        datasets.delete_examples("anime", [example.id for example in made], author="花子")
        status = ask(jobs, server)
        assert len(server.requests) == 2  # paid for before
    back = [e for e in datasets.page("anime", size=100).examples if "taken_away" in e.flags]
    assert {(e.question, e.answer, e.status) for e in back} == {(e.question, e.answer, "pending") for e in made}
    assert (status.added, datasets.counts("anime").examples) == (2, whole.examples)


def test_a_line_that_a_full_disk_cut_off_swallows_no_later_reply(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    entries = [Entry(key=str(n), fact_id=n, model="m", prompt_version="p", content="x" * 300) for n in range(3)]
    ledger.append(entries[0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger_size(tmp_path) + 40, before[1]))
    try:
        with pytest.raises(OSError):
            ledger.append(entries[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    ledger.append(entries[2])
    ledger.close()
    assert [entry.key for entry in read_entries(tmp_path / "ledger.jsonl")] == ["0", "2"]


def ledger_size(folder: Path) -> int:
    return (folder / "ledger.jsonl").stat().st_size


def test_malformed_json_is_asked_for_once_more_and_then_fails_that_fact_alone(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        return (
            completion('{"questions": ["途中') if "作品1の" in request["messages"][0]["content"] else wordings(request)
        )

    fill(datasets, 3)
    with openai_server(script) as server:
        status = ask(jobs, server)
    assert (status.state, status.done, status.made, len(server.requests)) == ("finished", 3, 18, 4)
    assert [failed.question for failed in status.failed] == ["作品1の主人公は誰ですか？"]
    assert "JSON" in status.failed[0].reason.text("ja")


def test_a_busy_server_is_waited_for_as_long_as_it_asks(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        busy = error(429, "slow down", Retry_After="0.05"), error(503, "starting", Retry_After="0.05")
        return busy[len(state.requests) - 1] if len(state.requests) <= 2 else wordings(request)

    fill(datasets, 1)
    with openai_server(script) as server:
        status = ask(jobs, server)
    assert (status.state, status.made, len(server.requests)) == ("finished", 9, 3)


def test_a_dropped_connection_is_tried_again(datasets, jobs):
    def script(state: Server, request: dict) -> Answer | None:
        return None if len(state.requests) == 2 else wordings(request)

    fill(datasets, 3)
    with openai_server(script) as server:
        status = ask(jobs, server, concurrency=1)
    assert (status.state, status.made, status.failed_facts, len(server.requests)) == ("finished", 27, 0, 4)


def test_a_key_goes_only_to_the_address_that_it_is_bound_to(datasets, jobs, monkeypatch):
    fill(datasets, 1)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with openai_server(lambda state, request: error(401, "no key")) as server:
        options = {"base_url": server.base_url, "model": "tiny"}
        status = ended(jobs, jobs.start("anime", generator="endpoint", plan=PLAN, options=options))
    assert server.authorizations and not any(KEY in sent for sent in server.authorizations)
    assert "OBOE_API_URL" in status.reason.text("ja") and server.base_url in status.reason.text("ja")


@pytest.mark.parametrize(
    ("variables", "address", "sent"),
    [
        ({"OPENAI_API_KEY": "a"}, "https://api.openai.com/v1", "a"),
        ({"OPENAI_API_KEY": "a"}, "http://api.openai.com/v1", None),
        ({"OPENAI_API_KEY": "a"}, "https://api.openai.com.example.org/v1", None),
        ({"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "http://10.0.0.5:8000/v1"}, "http://10.0.0.5:8000/v1/", "a"),
        ({"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "http://10.0.0.5:8000/v1"}, "https://api.openai.com/v1", None),
        ({"OBOE_API_KEY": "b", "OBOE_API_URL": "http://lab:8000/v1"}, "http://LAB:8000/v1", "b"),
        ({"OBOE_API_KEY": "b", "OBOE_API_URL": "http://lab:8000/v1"}, "http://lab:8001/v1", None),
        ({"OBOE_API_KEY": "b"}, "http://lab:8000/v1", None),
    ],
)
def test_which_key_an_address_may_see(monkeypatch, variables, address, sent):
    for name in ("OBOE_API_KEY", "OBOE_API_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert key_for(address) == sent


def test_a_server_that_hangs_fails_the_fact_with_the_seconds_waited(datasets, jobs, monkeypatch):
    monkeypatch.setattr("studio.augmentation.endpoint.ATTEMPTS", 1)

    def script(state: Server, request: dict) -> Answer:
        state.hang()
        return wordings(request)

    fill(datasets, 1)
    with openai_server(script) as server:
        status = ask(jobs, server, timeout_s=0.2)
    assert status.failed_facts == 1 and "0.2" in status.failed[0].reason.text("ja")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (error(401, "Incorrect API key"), "OBOE_API_KEY"),
        (error(404, "The model `tiny` does not exist"), "tiny"),
        ((404, {}, '{"detail": "Not Found"}'), "OpenAI 互換"),
        ((200, {}, '{"hello": "world"}'), "OpenAI 互換"),
        ((200, {"Content-Type": "text/html"}, "<html>hello</html>"), "OpenAI 互換"),
    ],
)
def test_an_endpoint_that_serves_nothing_ends_the_job_with_a_sentence(datasets, jobs, answer, sentence):
    fill(datasets, 20)
    with openai_server(lambda state, request: answer) as server:
        status = ask(jobs, server, concurrency=2)
    assert status.state == "failed" and sentence in status.reason.text("ja") and str(status.reason)
    assert len(server.requests) < 20


def test_a_refused_connection_ends_the_job_with_a_sentence(datasets, jobs):
    fill(datasets, 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = Server(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        status = ask(jobs, closed)
    assert status.state == "failed" and "接続できません" in status.reason.text("ja")


def test_what_was_made_before_the_endpoint_went_down_is_kept(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        return wordings(request) if len(state.requests) <= 2 else error(401, "key revoked")

    fill(datasets, 4)
    with openai_server(script) as server:
        status = ask(jobs, server, concurrency=1)
    assert (status.state, status.added) == ("failed", 18)


@pytest.mark.parametrize(
    "options",
    [
        None,
        {"base_url": "http://127.0.0.1:1/v1"},
        {"base_url": "ftp://example.org", "model": "tiny"},
        {"base_url": "http://[::1", "model": "tiny"},
        {"base_url": "http://127.0.0.1:99999/v1", "model": "tiny"},
        {"base_url": "http://user:secret@127.0.0.1/v1", "model": "tiny"},
        {"base_url": "http://127.0.0.1/v1", "model": "tiny", "api_key": "sk-secret"},
        {"base_url": "http://127.0.0.1/v1", "model": "tiny", "concurrency": 0},
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(datasets, jobs, options):
    fill(datasets, 1)
    with pytest.raises(AugmentError) as refused:
        jobs.start("anime", generator="endpoint", plan=PLAN, options=options)
    assert "secret" not in refused.value.text("ja") and jobs.ids() == []


def test_a_second_job_on_the_same_dataset_is_refused_and_a_cancel_keeps_what_was_made(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        if len(state.requests) > 2:
            state.hang()
        return wordings(request)

    fill(datasets, 10)
    with openai_server(script) as server:
        options = {"base_url": server.base_url, "model": "tiny", "concurrency": 1}
        job_id = jobs.start("anime", generator="endpoint", plan=PLAN, options=options)
        wait_until(lambda: len(server.requests) == 3)
        with pytest.raises(AugmentError, match="being augmented"):
            jobs.start("anime", plan=PLAN)
        jobs.cancel(job_id)
        server.released.set()
        status = ended(jobs, job_id)
    assert (status.state, status.added) == ("cancelled", 27) and len(server.requests) == 3


def test_a_job_that_the_end_of_the_app_cut_off_reads_as_interrupted(datasets, jobs, tmp_path):
    fill(datasets, 1)
    job_id = jobs.start("anime", plan=PLAN)
    finished = ended(jobs, job_id)
    cut_off = finished.model_copy(update={"state": "running"})
    (tmp_path / "augmentation" / job_id / "status.json").write_text(cut_off.model_dump_json(), encoding="utf-8")
    later = AugmentJobs(datasets, tmp_path / "augmentation")
    wait_until(lambda: later.status(job_id).state == "interrupted")  # its thread may still hold the lock
    assert later.ids() == [job_id]
    assert "再開" in later.status(job_id).reason.text("ja")


def test_a_ledger_cut_off_in_the_middle_of_a_line_is_read_up_to_there(datasets, jobs, tmp_path):
    fill(datasets, 2)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
        ledger = next((tmp_path / "augmentation").rglob("ledger.jsonl"))
        ledger.write_bytes(ledger.read_bytes()[:-40])
        assert ask(jobs, server).reused == 1 and len(server.requests) == 3


@pytest.mark.parametrize("job_id", ["../anime", "", ".", "20260101-000000-abcdef"])
def test_an_id_is_looked_up_and_never_joined(jobs, job_id):
    with pytest.raises(UnknownJob):
        jobs.status(job_id)


def test_an_empty_or_unknown_dataset_is_refused(jobs):
    with pytest.raises(AugmentError, match="no facts"):
        jobs.start("anime", plan=PLAN)
    with pytest.raises(UnknownDataset):
        jobs.start("nothing", plan=PLAN)


def test_a_folder_that_cannot_be_written_is_a_sentence(datasets, tmp_path):
    fill(datasets, 1)
    (tmp_path / "augmentation").write_text("a file in the way", encoding="utf-8")
    with pytest.raises(AugmentError) as refused:
        AugmentJobs(datasets, tmp_path / "augmentation").start("anime", plan=PLAN)
    assert "書き込めません" in refused.value.text("ja")
