"""Servers as strict as the real ones, a load that adapts, a budget that holds, and jobs that pause and go on."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.augmentation.jobs import AugmentJobs
from studio.augmentation.lock import Lock
from studio.augmentation.pace import Pace, Stopped
from studio.augmentation.plan import Plan
from studio.augmentation.prompts import Pairs, Reply, parse
from studio.augmentation.status import Seeds
from studio.datasets import Datasets
from studio.errors import AugmentError
from tests.augment_fixtures import PLAN, ask, ended, fill, new_datasets, wait_until
from tests.openai_server import Answer, Server, completion, error, openai_server, wordings
from training.contract import PROJECT_ROOT


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return new_datasets(tmp_path)


@pytest.fixture
def jobs(datasets: Datasets, tmp_path: Path) -> AugmentJobs:
    return AugmentJobs(datasets, tmp_path / "augmentation")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.augmentation.endpoint.FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("OBOE_API_URL", "http://127.0.0.1:9/v1")


def options(server: Server, **more: object) -> dict:
    return {"base_url": server.base_url, "model": "tiny", **more}


def content_of(answer: Answer) -> str:
    return json.loads(answer[2])["choices"][0]["message"]["content"]


def with_choice(choices: list, **more: object) -> Answer:
    body = {"object": "chat.completion", "choices": choices, "usage": {"prompt_tokens": 10, "total_tokens": 2010}}
    return 200, {}, json.dumps(body | more)


# ---- as strict as the real ones ----


def gpt_5(state: Server, request: dict) -> Answer:
    if "max_tokens" in request or request.get("temperature", 1) != 1:
        return error(400, "Unsupported parameter: 'max_tokens' or 'temperature' is not supported with this model.")
    schema = request["response_format"]["json_schema"]
    objects = [schema["schema"], *schema["schema"].get("$defs", {}).values()]
    if not schema["strict"] or not all(
        found["additionalProperties"] is False and set(found["required"]) == set(found["properties"])
        for found in objects
    ):
        return error(400, "Invalid schema for response_format: all properties must be required.")
    return wordings(request)


def vllm(state: Server, request: dict) -> Answer:
    known = {"model", "messages", "response_format"}
    if set(request) - known:
        return error(400, f"extra fields not permitted: {set(request) - known}")
    thought = {"role": "assistant", "content": content_of(wordings(request)), "reasoning_content": "The user wants {"}
    return with_choice([{"index": 0, "finish_reason": "stop", "message": thought}])


def ollama(state: Server, request: dict) -> Answer:
    """Takes any response_format without a word and thinks aloud in the content; counts no tokens."""
    content = f'<think>まず {{"questions": []}} を考える</think>\n```json\n{content_of(wordings(request))}\n```'
    return 200, {}, json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})


@pytest.mark.parametrize("server_like", [gpt_5, vllm, ollama])
def test_a_server_as_strict_as_the_real_one_is_understood(datasets, jobs, server_like):
    fill(datasets, 3)
    with openai_server(server_like) as server:
        status = ask(jobs, server)
    assert (status.state, status.made, len(server.requests), status.failures) == ("finished", 27, 3, {})


def test_thinking_that_uses_the_limit_up_is_asked_again_and_counted_as_paid(datasets, jobs):
    def gemini(state: Server, request: dict) -> Answer:
        thought = {"finish_reason": "length", "message": {"role": "assistant", "content": None}}
        return with_choice([thought]) if len(state.requests) == 1 else wordings(request)

    fill(datasets, 1)
    with openai_server(gemini) as server:
        status = ask(jobs, server)
    assert (status.made, len(server.requests), status.tokens) == (9, 2, 2010 + 30)
    assert status.failures == {"augment.error_cut_off": 1}


@pytest.mark.parametrize("choices", [[], [{"finish_reason": "content_filter", "message": {"role": "assistant"}}]])
def test_a_reply_that_a_provider_keeps_back_fails_that_fact_alone_and_is_not_asked_again(datasets, jobs, choices):
    fill(datasets, 2)
    with openai_server(lambda state, request: with_choice(choices)) as server:
        status = ask(jobs, server)
    assert (status.state, status.failed_facts, len(server.requests)) == ("finished", 2, 2)
    assert "安全" in status.failed[0].reason.text("ja")


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "3",
        '{"choices": {"a": 1}}',
        '{"choices": [3]}',
        '{"choices": [{"message": {"content": 3}}]}',
        '{"usage": 3}',
    ],
)
def test_what_is_no_chat_completion_ends_the_job_with_a_sentence(datasets, jobs, body):
    fill(datasets, 1)
    with openai_server(lambda state, request: (200, {}, body)) as server:
        status = ask(jobs, server)
    assert status.state == "failed" and "OpenAI 互換" in status.reason.text("ja")


def test_content_in_parts_is_put_together(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        content = content_of(wordings(request))
        parts = [{"type": "text", "text": content[:20]}, {"type": "text", "text": content[20:]}]
        return with_choice([{"finish_reason": "stop", "message": {"content": parts}}])

    fill(datasets, 1)
    with openai_server(script) as server:
        assert ask(jobs, server).made == 9


@given(
    st.one_of(st.text(), st.text(alphabet='{}[]":,aquestions '), st.integers(1, 5000).map(lambda deep: '{"a":' * deep))
)
@settings(max_examples=200, deadline=None)
def test_no_text_makes_the_reading_of_a_reply_fail(content):
    assert isinstance(parse(content, Reply), Reply | None) and isinstance(parse(content, Pairs), Pairs | None)


def test_a_request_that_alone_is_refused_fails_its_fact_alone(datasets, jobs):
    fill(datasets, 3)
    with openai_server(
        lambda state, request: error(400, "flagged") if "作品1の" in str(request["messages"]) else wordings(request)
    ) as server:
        ask(jobs, server, concurrency=1, model="warm")
        status = ask(jobs, server, concurrency=1, model="warm")
    assert (status.state, status.failed_facts, status.reused) == ("finished", 1, 2)


def test_a_used_up_quota_ends_the_job_at_once(datasets, jobs):
    body = json.dumps({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
    fill(datasets, 30)
    with openai_server(lambda state, request: (429, {}, body)) as server:
        status = ask(jobs, server, concurrency=2)
    assert status.state == "failed" and "利用枠" in status.reason.text("ja") and len(server.requests) < 10


def test_a_model_that_only_fails_is_not_paid_for_to_the_end(datasets, jobs):
    fill(datasets, 60)
    with openai_server(lambda state, request: completion("わかりません")) as server:
        status = ask(jobs, server, concurrency=1)
    assert status.state == "failed" and "JSON" in status.reason.text("ja") and len(server.requests) < 60


# ---- the load adapts ----


def test_the_load_shrinks_once_a_burst_and_grows_with_successes():
    now = [0.0]
    pace = Pace(64, clock=lambda: now[0])
    now[0] = 1.0
    for _ in range(20):
        pace.refused(began=0.5, pause_s=0.0)
    assert pace.limit == 48
    now[0] = 2.0
    pace.refused(began=1.5, pause_s=0.0)
    assert pace.limit == 36
    for _ in range(50):
        pace.succeeded()
    assert pace.limit == 38
    for _ in range(40):
        now[0] += 1
        pace.refused(began=now[0], pause_s=0.0)
    assert pace.limit == 1


def test_nobody_is_asked_before_the_server_wants_it_and_a_stop_lets_all_go():
    now = [0.0]
    pace = Pace(4, clock=lambda: now[0])
    pace.refused(began=0.0, pause_s=60.0)
    waited: list[str] = []

    def wait() -> None:
        try:
            with pace.turn():
                waited.append("asked")
        except Stopped:
            waited.append("stopped")

    thread = threading.Thread(target=wait)
    thread.start()
    pace.stop()
    thread.join(30)
    assert waited == ["stopped"]


@pytest.mark.parametrize(
    "header", ["0.02", format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True), "soon"]
)
def test_retry_after_is_read_as_seconds_or_a_date(datasets, jobs, header):
    fill(datasets, 2)
    with openai_server(
        lambda state, request: wordings(request) if len(state.requests) > 1 else error(429, "slow", Retry_After=header)
    ) as server:
        status = ask(jobs, server, concurrency=4)
    assert (status.state, status.made, status.under_way) == ("finished", 18, 3)
    assert status.failures == {"augment.error_rate": 1}


# ---- budget, pause, resume, again ----


def test_a_job_is_one_programs_alone_as_long_as_that_lives(tmp_path):
    held = Lock.take(tmp_path)
    assert held is not None and Lock.take(tmp_path) is None and Lock.is_held(tmp_path)
    take = f"Lock.take(Path({str(tmp_path)!r}))"
    program = f"from pathlib import Path; from studio.augmentation.lock import Lock; print({take})"
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == "None"
    held.release()
    assert not Lock.is_held(tmp_path)


def test_which_facts_share_their_answer_is_told_beforehand(datasets, jobs):
    for title in ("灯の海", "砂の塔"):
        datasets.add_fact("anime", f"{title}の放送年は何年ですか？", f"{title}の放送年は2031年です。")
    job = jobs.plan_job("anime", plan=PLAN)
    assert [one.other_question for one in jobs.shared(job)] == [
        "砂の塔の放送年は何年ですか？",
        "灯の海の放送年は何年ですか？",
    ]


def test_the_budget_is_never_exceeded_and_a_larger_one_goes_on(datasets, jobs):
    fill(datasets, 10)
    with openai_server(lambda state, request: completion(content_of(wordings(request)), tokens=1010)) as server:
        priced = options(server, concurrency=4, completion_price=1000.0, budget=3.5)
        job_id = jobs.start("anime", generator="endpoint", plan=PLAN, options=priced)
        status = ended(jobs, job_id)
        assert (status.state, status.cost, len(server.requests)) == ("paused", 3.0, 3)
        assert status.added == 27  # what was paid for is there, whether or not somebody pays more
        assert "予算" in status.reason.text("ja")
        jobs.resume(job_id, budget=100)
        status = ended(jobs, job_id)
    assert (status.state, status.cost, len(server.requests), status.added) == ("finished", 10.0, 10, 63)
    assert datasets.counts("anime").examples == 100


def test_a_budget_without_prices_is_refused(jobs):
    with pytest.raises(AugmentError, match="prices"):
        jobs.plan_job(
            "anime", generator="endpoint", plan=PLAN, options={"base_url": "http://h/v1", "model": "m", "budget": 1}
        )


def test_a_paused_job_goes_on_after_a_restart_of_the_app(datasets, jobs, tmp_path):
    def script(state: Server, request: dict) -> Answer:
        if len(state.requests) == 3:
            state.hang()
        return wordings(request)

    fill(datasets, 8)
    with openai_server(script) as server:
        job_id = jobs.start("anime", generator="endpoint", plan=PLAN, options=options(server, concurrency=1))
        wait_until(lambda: len(server.requests) == 3)
        jobs.pause(job_id)
        server.released.set()
        assert (ended(jobs, job_id).state, datasets.counts("anime").examples) == ("paused", 8)
        later = AugmentJobs(datasets, tmp_path / "augmentation")
        assert later.resume_interrupted() == [] and later.status(job_id).state == "paused"
        later.resume(job_id)
        status = ended(later, job_id)
        assert (status.state, status.added, len(server.requests), status.tokens) == ("finished", 72, 8, 240)
        with pytest.raises(AugmentError, match="finished"):
            later.resume(job_id)


def test_what_the_end_of_the_app_cut_off_goes_on_by_itself_and_one_undo_takes_it_back(datasets, jobs, tmp_path):
    fill(datasets, 3)
    job_id = jobs.start("anime", plan=PLAN)
    cut_off = ended(jobs, job_id).model_copy(update={"state": "running"})
    datasets.undo("anime")
    (tmp_path / "augmentation" / job_id / "status.json").write_text(cut_off.model_dump_json(), encoding="utf-8")
    later = AugmentJobs(datasets, tmp_path / "augmentation")
    assert later.resume_interrupted() == [job_id]
    assert (ended(later, job_id).state, datasets.counts("anime").examples) == ("finished", 30)
    datasets.undo("anime")
    assert datasets.counts("anime").examples == 3


def test_what_failed_is_run_again_and_the_rest_is_left_alone(datasets, jobs):
    broken = {"作品1の", "作品3の"}

    def script(state: Server, request: dict) -> Answer:
        asked = request["messages"][0]["content"].rpartition("質問: ")[2]
        return completion("？") if any(title in asked for title in broken) else wordings(request)

    fill(datasets, 5)
    with openai_server(script) as server:
        job_id = jobs.start("anime", generator="endpoint", plan=PLAN, options=options(server))
        first = ended(jobs, job_id)
        assert (first.failed_facts, first.made) == (2, 27)
        assert [failure.title for failure in jobs.failures(job_id)].count("作品1の主人公は誰ですか？") == 2
        broken.clear()
        again = ended(jobs, jobs.run_failed_again(job_id))
    assert (again.total, again.failed_facts, again.added, len(server.requests)) == (2, 0, 18, 5 + 2 + 2)


def test_a_resumed_job_does_not_pay_again_for_a_reply_that_it_could_not_read(datasets, jobs, tmp_path):
    fill(datasets, 1)
    with openai_server(lambda state, request: completion("？")) as server:
        job_id = jobs.start("anime", generator="endpoint", plan=PLAN, options=options(server))
        failed = ended(jobs, job_id)
        running = failed.model_copy(update={"state": "running"})
        (tmp_path / "augmentation" / job_id / "status.json").write_text(running.model_dump_json(), encoding="utf-8")
        later = AugmentJobs(datasets, tmp_path / "augmentation")
        later.resume_interrupted()
        status = ended(later, job_id)
    assert (status.failed_facts, status.failures, len(server.requests)) == (1, failed.failures, 2)


# ---- before anything is sent, and what a person has decided ----


def test_requests_tokens_and_cost_are_told_before_anything_is_sent(datasets, jobs):
    fill(datasets, 4)
    with openai_server(lambda state, request: wordings(request)) as server:
        priced = options(server, prompt_price=1.0, completion_price=10.0)
        job = jobs.plan_job("anime", generator="endpoint", plan=PLAN, options=priced)
        told = jobs.estimate(job)
        assert (told.requests, told.reused, told.measured, len(server.requests)) == (4, 0, False, 0)
        assert told.prompt_tokens > 4 * 500 and told.cost == pytest.approx(
            (told.prompt_tokens + 10 * told.completion_tokens) / 1e6
        )
        jobs.preview(job)
        told = jobs.estimate(job)
    assert (told.requests, told.reused, told.measured, told.completion_tokens) == (1, 3, True, 20)


def test_examples_that_a_person_accepted_or_edited_become_few_shot_examples(datasets, jobs):
    fill(datasets, 3)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
        made = next(e for e in datasets.page("anime", size=100).examples if e.kind == "paraphrase")
        datasets.edit_example("anime", made.id, question="作品0で主役を務めるのは誰か教えてください。", expected=None)
        ask(jobs, server, model="another")
    first, later = (server.requests[at]["messages"][0]["content"] for at in (0, -1))
    assert "良い例" not in first and "主役を務めるのは誰か" in later


def test_an_edited_example_is_neither_overwritten_nor_put_back_as_it_was(datasets, jobs):
    fill(datasets, 1)
    with openai_server(lambda state, request: wordings(request)) as server:
        ask(jobs, server)
        made = next(e for e in datasets.page("anime", size=100).examples if e.kind == "paraphrase")
        datasets.edit_example("anime", made.id, question="作品0で主役を務めるのは誰か教えてください。", expected=None)
        assert ask(jobs, server).added == 0
    assert datasets.example(made.id).question == "作品0で主役を務めるのは誰か教えてください。"


def test_what_fails_a_gate_is_kept_for_a_person_with_its_reason(datasets, jobs):
    reply = {"questions": ["彼は誰ですか？"], "answer": "", "reverse_questions": [], "reverse_answers": []}
    fill(datasets, 1)
    with openai_server(lambda state, request: completion(json.dumps(reply))) as server:
        status = ask(jobs, server)
    (flagged,) = (e for e in datasets.page("anime", size=100).examples if e.kind == "paraphrase")
    assert (flagged.status, "no_subject" in flagged.flags) == ("pending", True)
    assert (status.flagged, status.flags["no_subject"]) == (1, 1)


# ---- new facts ----


def seed_pairs(state: Server, request: dict) -> Answer:
    pairs = [
        {
            "subject": "銀魂",
            "question": f"銀魂の第{number}話の題名は何ですか？",
            "answer": f"銀魂の第{number}話の題名は「万事屋{number}」です。",
        }
        for number in range(2)
    ]
    return completion(json.dumps({"pairs": pairs}, ensure_ascii=False))


def test_titles_and_aspects_become_new_facts_that_a_person_looks_at(datasets, jobs):
    with openai_server(seed_pairs) as server:
        job = jobs.plan_job("anime", generator="endpoint", plan=Plan(), options=options(server))
        seeds = Seeds(titles=("銀魂", "鬼滅の刃"), aspects=("各話の題名",))
        job = job.model_copy(update={"source": "titles", "seeds": seeds})
        status = ended(jobs, jobs.start_job(job))
    assert (status.state, status.total, status.made, status.added) == ("finished", 2, 4, 2)
    fact = datasets.facts("anime")[0]
    assert (fact.subject, fact.tags, datasets.counts("anime").pending) == ("銀魂", ("銀魂",), 2)


def test_documents_become_new_facts_part_by_part(datasets, jobs):
    text = "\n\n".join(f"銀魂の第{number}話の題名は「万事屋{number}」です。" * 60 for number in range(4))
    with datasets.store.write() as db:
        db.execute(
            "INSERT INTO document (dataset_id, title, path, characters, sha256, created_at)"
            " VALUES (1, '銀魂', 'a.md', 1, 'x', '')"
        )
        db.execute("INSERT INTO document_text (document_id, text) VALUES (1, ?)", (text,))
    with openai_server(seed_pairs) as server:
        job = jobs.plan_job("anime", generator="endpoint", plan=Plan(), options=options(server))
        status = ended(jobs, jobs.start_job(job.model_copy(update={"source": "documents"})))
    assert (status.total, len(server.requests), status.added) == (2, 2, 2)


def test_the_studios_own_server_is_asked_with_its_token(datasets, tmp_path):
    class Own:
        base_url, token = "", "its-token"

    fill(datasets, 1)
    with openai_server(lambda state, request: wordings(request)) as server:
        Own.base_url = server.base_url
        jobs = AugmentJobs(datasets, tmp_path / "augmentation", lambda base_model: Own())
        chosen = {"base_url": "studio", "model": "llm-jp"}
        status = ended(jobs, jobs.start("anime", generator="endpoint", plan=PLAN, options=chosen))
    assert status.made == 9 and server.requests[0]["model"] == "base"
    assert server.authorizations == ["Bearer its-token"]
