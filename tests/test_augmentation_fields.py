"""A model is asked what facts say of themselves: only what nobody has said is filled in, each reply paid for once."""

import json
import re
from pathlib import Path

import gradio as gr
import pytest

from studio.augmentation.fields import proposal
from studio.augmentation.jobs import AugmentJobs
from studio.augmentation.prompts import FIELDS, Fields, parse, schema
from studio.augmentation.status import AugmentStatus, JobPlan
from studio.datasets import Datasets, Fact
from studio.datasets.proposed import Overview, ProposedFacts
from studio.errors import AugmentError, DatasetError
from studio.i18n import LOCALES
from studio.pages.augment_form import build_form
from studio.pages.augment_view import preview, progress
from studio.pages.facts_view import overview_line
from tests.augment_fixtures import PLAN, ended, fill, new_datasets, wait_until
from tests.openai_server import Answer, Server, completion, openai_server


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return new_datasets(tmp_path)


@pytest.fixture
def jobs(datasets: Datasets, tmp_path: Path) -> AugmentJobs:
    return AugmentJobs(datasets, tmp_path / "augmentation")


def fields(state: Server, request: dict) -> Answer:
    """What a good model reads of a fact of `fill`."""
    number = re.findall(r"^質問: 作品(\d+)の", request["messages"][0]["content"], re.MULTILINE)[-1]
    return said(
        subject=f"作品{number}",
        spellings=[f"作品 {number}"],
        tags=[f"作品{number}"],
        key_terms=[[f"人物{number}", f"じんぶつ{number}"]],
        short_answer=True,
    )


def said(**reply: object) -> Answer:
    return completion(json.dumps(reply, ensure_ascii=False))


def planned(jobs: AugmentJobs, server: Server, **more: object) -> JobPlan:
    options = {"base_url": server.base_url, "model": "tiny", **more}
    job = jobs.plan_job("anime", generator="endpoint", plan=PLAN, options=options)
    return job.model_copy(update={"source": "fields", "author": "花"})


def ask(jobs: AugmentJobs, server: Server, **more: object) -> AugmentStatus:
    return ended(jobs, jobs.start_job(planned(jobs, server, **more)))


def rows(datasets: Datasets) -> list[tuple]:
    return datasets.store.read().execute("SELECT * FROM fact ORDER BY id").fetchall()


# ---- what is filled in ----


def test_every_fact_is_asked_about_once_and_one_undo_takes_all_of_it_back(datasets, jobs):
    fill(datasets, 3)
    before = rows(datasets)
    with openai_server(fields) as server:
        status = ask(jobs, server)
        assert (status.state, status.done, status.total, status.made, status.added) == ("finished", 3, 3, 3, 3)
        assert len(server.requests) == 3 and not status.failed
        with pytest.raises(AugmentError, match="anime"):
            jobs.start_job(planned(jobs, server))
    fact = datasets.facts("anime")[1]
    assert (fact.subject, fact.spellings, fact.tags) == ("作品1", ("作品 1",), ("作品1",))
    assert fact.key_terms == (("人物1", "じんぶつ1"),) and fact.short_answer
    assert datasets.undo("anime", "花").key == "facts.undone_fill"
    assert rows(datasets) == before
    with pytest.raises(DatasetError):
        datasets.undo("anime", "花")


def test_what_a_person_said_is_neither_asked_nor_overruled(datasets, jobs):
    fill(datasets, 3)
    whole, named, long = datasets.facts("anime")
    datasets.edit_fact("anime", whole.id, subject="作品0", key_terms=[["人物0"]])
    datasets.edit_fact("anime", named.id, subject="別の名前", tags=["人のタグ"])
    datasets.edit_fact("anime", long.id, short_answer=False)
    with openai_server(fields) as server:
        status = ask(jobs, server)
    assert (status.total, status.added, len(server.requests)) == (2, 2, 2)
    kept, named, long = datasets.facts("anime")
    assert (kept.key_terms, kept.tags) == ((("人物0",),), ())
    assert (named.subject, named.spellings, named.tags) == ("別の名前", (), ("人のタグ",))
    assert named.key_terms == (("人物1", "じんぶつ1"),)
    assert (long.subject, long.short_answer) == ("作品2", False)


def test_a_fact_that_changed_while_it_was_asked_about_is_left_out(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        state.hang()
        return fields(state, request)

    fill(datasets, 2)
    with openai_server(script) as server:
        job_id = jobs.start_job(planned(jobs, server))
        wait_until(lambda: len(server.requests) == 2)
        datasets.edit_fact("anime", datasets.facts("anime")[0].id, tags=["人のタグ"])
        server.released.set()
        status = ended(jobs, job_id)
    changed, other = datasets.facts("anime")
    assert (status.made, status.added) == (2, 1)
    assert (changed.subject, changed.tags, other.subject) == ("", ("人のタグ",), "作品1")


def test_whether_an_answer_is_short_is_written_where_it_only_looked_so(datasets, jobs):
    datasets.add_fact("anime", "灯の海の結末はどうなりますか？", "灯が消え、二人は町を去ります。")
    reply = {"subject": "灯の海", "key_terms": [["町を去り"]], "short_answer": False}
    with openai_server(lambda state, request: said(**reply)) as server:
        ask(jobs, server)
    assert not datasets.facts("anime")[0].short_answer
    datasets.undo("anime", "花")
    assert datasets.facts("anime")[0].short_answer


# ---- what of a reply counts ----

FACT = Fact(id=1, question="ぱにぽにだっしゅ！の主人公は誰ですか？", answer="主人公はレベッカ宮本（ベッキー）です。")


def read(**reply: object) -> Fields:
    whole = {"subject": "", "spellings": [], "tags": [], "key_terms": [], "short_answer": None}
    return Fields.model_validate(whole | reply)


def test_a_key_term_must_stand_in_the_answer_and_not_in_the_question():
    terms = [["のぼて"], ["主人公"], ["Rebecca", "レベッカ 宮本"], ["！"], ["レベッカ 宮本", "Rebecca"]]
    assert proposal(FACT, read(key_terms=terms)).key_terms == (("レベッカ 宮本", "Rebecca"),)


def test_a_subject_is_written_as_the_fact_writes_it_or_not_at_all():
    found = proposal(FACT, read(subject="ぱにぽに", spellings=["ＰＡＮＩ", "ぱにぽにだっしゅ!"]))
    assert (found.subject, found.spellings) == ("ぱにぽに", ("ぱにぽにだっしゅ!", "ＰＡＮＩ"))
    found = proposal(FACT, read(subject="Pani Poni", spellings=["ぱにぽにだっしゅ！"]))
    assert (found.subject, found.spellings) == ("ぱにぽにだっしゅ！", ("Pani Poni",))
    assert proposal(FACT, read(subject="別の作品", spellings=["べつ"])).subject == ""


def test_text_that_cannot_be_stored_is_left_out():
    found = proposal(FACT, read(subject="主人公", tags=["甲\0", "　", "作品", "長" * 61]))
    assert (found.subject, found.tags) == ("主人公", ("作品",))


@pytest.mark.parametrize(
    "content",
    [
        '<think>{"subject": "迷う"}</think>次のとおりです。\n```json\n{"subject": "甲", "key_terms": ["乙"]}\n```',
        '{"subject": "甲", "spellings": null, "tags": null, "key_terms": [["乙"]], "short_answer": null, "note": 1}',
    ],
)
def test_a_reply_is_read_also_where_it_is_not_as_asked(content):
    assert parse(content, Fields) == read(subject="甲", key_terms=[["乙"]])


@pytest.mark.parametrize("content", ["", "{}", '{"subject": ""}', '{"subject": 3}', '{"key_terms": [[1]]}', "[]"])
def test_what_says_nothing_is_no_reply(content):
    assert parse(content, Fields) is None


def test_the_form_of_a_reply_is_as_strict_as_the_strictest_servers_want_it():
    form = schema(Fields)["json_schema"]
    assert form["strict"] and form["schema"]["additionalProperties"] is False
    assert set(form["schema"]["required"]) == set(form["schema"]["properties"]) == set(Fields.model_fields)


# ---- what goes wrong, and what it costs ----


def test_malformed_json_is_asked_for_once_more_and_then_listed(datasets, jobs):
    def script(state: Server, request: dict) -> Answer:
        asked = request["messages"][0]["content"]
        return completion('{"subject": "途') if "作品1の" in asked else fields(state, request)

    fill(datasets, 3)
    with openai_server(script) as server:
        status = ask(jobs, server)
    assert (status.state, status.done, status.added, len(server.requests)) == ("finished", 3, 2, 4)
    assert [failed.question for failed in status.failed] == ["作品1の主人公は誰ですか？"]
    assert "JSON" in status.failed[0].reason.text("ja") and status.failures == {"augment.error_malformed": 2}


def test_a_reply_that_the_fact_does_not_bear_out_is_listed_and_changes_nothing(datasets, jobs):
    fill(datasets, 1)
    before = rows(datasets)
    with openai_server(lambda state, request: said(subject="別の作品", key_terms=[["別の人物"]])) as server:
        status = ask(jobs, server)
    assert (status.state, status.made, status.added, status.failed_facts) == ("finished", 0, 0, 1)
    assert "重要語句" in status.failed[0].reason.text("ja") and rows(datasets) == before
    with pytest.raises(DatasetError):
        datasets.undo("anime", "花")


def test_a_job_that_goes_on_asks_for_nothing_twice(datasets, jobs, tmp_path):
    def script(state: Server, request: dict) -> Answer:
        if len(state.requests) == 3:
            state.hang()
        return fields(state, request)

    fill(datasets, 6)
    with openai_server(script) as server:
        job_id = jobs.start_job(planned(jobs, server, concurrency=1))
        wait_until(lambda: len(server.requests) == 3)
        jobs.pause(job_id)
        server.released.set()
        paused = ended(jobs, job_id)
        assert paused.state == "paused" and not any(fact.subject for fact in datasets.facts("anime"))
        # As the end of the program leaves it.
        cut_off = paused.model_copy(update={"state": "running"}).model_dump_json()
        (tmp_path / "augmentation" / job_id / "status.json").write_text(cut_off, encoding="utf-8")
        later = AugmentJobs(datasets, tmp_path / "augmentation")
        assert later.resume_interrupted() == [job_id]
        status = ended(later, job_id)
        assert (status.state, status.added, status.tokens, len(server.requests)) == ("finished", 6, 180, 6)
        # Cut off between its edit and its end: it finds nothing to ask and has finished.
        (tmp_path / "augmentation" / job_id / "status.json").write_text(cut_off, encoding="utf-8")
        last = AugmentJobs(datasets, tmp_path / "augmentation")
        last.resume_interrupted()
        assert (ended(last, job_id).state, len(server.requests)) == ("finished", 6)
        datasets.undo("anime", "花")
        assert ask(last, server).reused == 6 and len(server.requests) == 6


def test_requests_and_cost_are_told_first_and_a_preview_is_not_paid_for_again(datasets, jobs):
    fill(datasets, 4)
    with openai_server(fields) as server:
        job = planned(jobs, server, completion_price=10.0)
        told = jobs.estimate(job)
        assert (told.requests, told.reused, len(server.requests)) == (4, 0, 0)
        assert 0 < told.completion_tokens < 1000 and told.cost == pytest.approx(told.completion_tokens * 1e-5)
        shown = jobs.preview(job)
        assert [one.read and one.read.subject for one in shown] == ["作品0", "作品1", "作品2"]
        assert all("人物0" in preview(shown, locale) for locale in LOCALES)
        told = jobs.estimate(job)
        assert (told.requests, told.reused, told.measured) == (1, 3, True)
        assert ask(jobs, server).reused == 3 and len(server.requests) == 4


def test_a_dataset_without_facts_is_refused(jobs):
    with openai_server(fields) as server, pytest.raises(AugmentError, match="holds no facts"):
        jobs.start_job(planned(jobs, server))


# ---- pages ----


@pytest.mark.parametrize("state", ["running", "paused", "finished", "cancelled", "failed", "interrupted"])
def test_every_state_has_its_sentence(state):
    for locale in LOCALES:
        shown = progress(AugmentStatus(state=state, dataset="甲", generator="endpoint", source="fields"), locale)
        assert "augment_page" not in shown


def test_only_a_model_is_asked_about_facts():
    with gr.Blocks():
        form = build_form().form
    assert not form.by_rules({part: part.value for part in form.parts()} | {form.source: "fields"})
    assert JobPlan(dataset="甲", generator="endpoint", plan=PLAN, source="fields").prompt_version == FIELDS


def test_the_facts_section_leads_to_it_while_something_is_unsaid(datasets):
    fill(datasets, 1)
    overview = ProposedFacts(datasets).overview("anime")
    assert "data-model" in overview_line(overview, "all", "ja")
    assert "data-model" not in overview_line(Overview(**{**overview.model_dump(), "unsaid": 0}), "all", "ja")
