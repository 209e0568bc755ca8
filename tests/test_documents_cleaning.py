"""What nobody would read aloud goes, what somebody wrote stays, and no text makes cleaning slow or fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.datasets.documents.cleaning import clean_article

ARTICLE = """---
title: "銀魂"
tags: [漫画, SF]
---
{{Infobox animanga
| 作者 = {{lang|ja|空知英秋}}
|}}
'''銀魂'''（{{読み仮名|ぎん|たま}}）は、[[空知英秋]]による[[日本の漫画家一覧|日本]]の漫画
<ref name="a">『[[ジャンプ]]』{{Cite}}</ref><ref name="b" />である。[注 2][要出典]
[[ファイル:a.png|thumb|[[銀魂]]の絵]]
{| class="wikitable"
|-
| {{b|c}} || 表
|}
<!-- {{ 下書き -->
== 概要 ==
江戸&amp;宇宙人。<br/>[公式](https://example.com/a_(b)) [[1]](#cite_note-1)



=== 登場人物 ===
坂田銀時
== 脚注 ==
{{Reflist}}
=== 出典 ===
- 何か
== 評価 ==
良い。
[[Category:漫画]]
"""

CLEANED = """銀魂（ぎん（たま））は、空知英秋による日本の漫画
である。

## 概要
江戸&宇宙人。
公式

### 登場人物
坂田銀時
## 評価
良い。"""


def cleaned(text: str) -> str:
    return clean_article(text, "name").text


def test_an_article_keeps_its_words_and_headings_alone() -> None:
    article = clean_article(ARTICLE, "name")
    assert (article.title, article.text, article.changed) == ("銀魂", CLEANED, True)


def test_an_article_without_leftovers_is_not_changed() -> None:
    text = (
        "# 銀魂\n\n第1回は2006年。配列[0]、2 < 3 > 1、（笑）、f(x)、[ ]、『』、a__b、'80s。\n\n- 一\n- 二\n\n| a | b |"
    )
    article = clean_article(f"\ufeff\r\n{text}\r\n", "name")
    assert (article.title, article.text, article.changed) == ("銀魂", text, False)


@pytest.mark.parametrize(
    ("text", "title"),
    [("---\ntitle: '鋼'\n---\n# 別", "鋼"), ('+++\ntitle = "鋼"\n+++\nx', "鋼"), ("# 鋼 #\nx", "鋼"), ("本文", "name")],
)
def test_the_title_is_that_of_the_front_matter_or_the_heading_or_the_file(text: str, title: str) -> None:
    assert clean_article(text, "name").title == title


@pytest.mark.parametrize(
    "text",
    [
        "---\n区切り線の下の文です。\n---\n続きます。",  # two rules, no front matter
        "閉じない {{ と [[ と {| と <!-- はそのまま",
        "開かない }} と ]] と --> はそのまま",
        "# 脚注\n脚注とは、本文の下に付ける注である。",
        "彼は鍵を図書館から取得",
    ],
)
def test_what_only_looks_like_a_leftover_stays(text: str) -> None:
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[Re:ゼロから始める異世界生活]]と[[en:Gintama]]", "Re:ゼロから始める異世界生活と"),
        ("[[:Category:漫画|漫画]]", "漫画"),
        ("銀魂（）と銀魂(、)", "銀魂と銀魂"),
        ("文[12]。\\[3\\] [編集] 誰か[誰?]", "文。  誰か"),
        ("本文[^a]\n\n[^a]: 出典", "本文"),
        ("![絵](a.png)本文[https://example.com 公式]", "本文公式"),
        ("<ruby>銀<rp>(</rp><rt>ぎん</rt><rp>)</rp></ruby>", "銀(ぎん)"),
        ("&lt;br&gt;は残る&nbsp;。", "<br>は残る 。"),
        ("出典: フリー百科事典『ウィキペディア（Wikipedia）』\n本文\nカテゴリ: 漫画", "本文"),
        ("#転送 [[銀魂]]", ""),
        ("{{仮リンク|空知|en|Sorachi}}と{{未知|x}}", "空知と"),
    ],
)
def test_each_leftover_goes(text: str, expected: str) -> None:
    assert cleaned(text) == expected


@given(st.text(alphabet="[]{}|<>!-'=&#;（）()\n ref:/注1^_亜"))
def test_cleaning_never_fails_and_never_adds_much(text: str) -> None:
    assert len(cleaned(text)) <= 2 * len(text) + 10


@given(st.lists(st.sampled_from("亜衣宇。、 \n"), max_size=50).map("".join))
def test_plain_prose_loses_nothing_but_white_space(text: str) -> None:
    assert "".join(cleaned(text).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "piece",
    ["{{", "[[", "<ref>", "<!--", "![", "[a](", "[//a", "]]}}", "'", "=", "検索に移動 ", "://", "[注", "<ref", " "],
)
def test_a_text_full_of_openings_is_read_in_one_pass(piece: str) -> None:
    # Steps that look from every opening to the end would take hours for this.
    assert cleaned(f"本文{piece * 50_000}x").startswith("本文")
