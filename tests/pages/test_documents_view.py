"""What articles hold is shown as text, and a change of cleaning stands beside what it changed."""

import re

from studio.datasets.documents import Alike, DocumentFilter, DocumentJob, DocumentPage, DocumentText
from studio.errors import DatasetError
from studio.pages.documents_view import alike, article, compared, documents_table, job_line

EVIL = '<img src=x onerror="alert(1)">'


def document(**values: object) -> DocumentText:
    given = {"id": 1, "title": "銀魂", "path": "a.md", "characters": 3, "excluded": "", "cleaned": True}
    return DocumentText.model_validate(given | {"text": "本文", "original": "本文[1]"} | values)


def cells(html: str) -> list[tuple[str, str]]:
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", html, re.DOTALL)
    return [(re.sub("<[^>]*>", "", one), re.sub("<[^>]*>", "", two)) for one, two in rows]


def test_nothing_that_an_article_holds_becomes_markup() -> None:
    evil = document(title=EVIL, path=EVIL, excluded=f"words_found:{EVIL}", text=EVIL, original=EVIL + "x")
    page = DocumentPage(documents=[evil], total=1, number=1, pages=1)
    failed = DocumentJob("import", "finished", source=EVIL, rejected=((EVIL, DatasetError("documents.error_link")),))
    near = DocumentJob("near", "finished", alike=(Alike(1, ((2, 0.9),)),))
    drawn = [
        documents_table(page, DocumentFilter(), 1, "ja"),
        article(evil, "ja"),
        article(document(cleaned=False, text=EVIL), "ja"),
        alike(evil, evil, "ja"),
        job_line(failed, {}, "ja"),
        job_line(near, {1: EVIL, 2: EVIL}, "ja"),
    ]
    assert all("<img" not in html and "&lt;img" in html for html in drawn)


def test_a_line_stands_beside_what_became_of_it() -> None:
    before = "---\ntitle: 銀魂\n---\n銀魂は[[漫画]]である。\n[[Category:漫画]]\n"
    rows = cells(compared(before, "銀魂は漫画である。", ("前", "後"), "ja"))
    assert ("銀魂は[[漫画]]である。", "銀魂は漫画である。") in rows and ("title: 銀魂", "") in rows


def test_two_long_texts_that_share_nothing_are_shown_without_being_compared_by_character() -> None:
    rows = cells(compared("亜" * 50_000, "衣" * 50_000, ("前", "後"), "ja"))
    assert rows == [("亜" * 50_000, "衣" * 50_000)]
