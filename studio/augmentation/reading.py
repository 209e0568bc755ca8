"""Finds subject, relation and value in a Japanese question and its answer; it must not know how they are reworded."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from studio.augmentation.wording import wordings

# Question words, and the family of wordings that fits a relation asked with them.
ASKED: dict[str, str] = {
    r"(?:誰|だれ|どなた|何という人|どんな人|どの人物)": "誰",
    r"(?:どこ|どちら|どの(?:場所|国|都市|町|県|会社|都道府県))": "どこ",
    r"(?:いつ|何年何月|何年|西暦何年|何月何日)": "時",
    r"(?:いくつ|何歳|何人|何番|何話|第何話|何メートル|何センチ|何キロ|どのくらい|どれくらい|どれぐらい|いくら)": "数",
    r"(?:何語|何色|何部|何|なに|なん)(?:という(?:もの|名前|曲|作品|町|会社|人物)|と(?:いい|言い)ます)?": "何",
}
WORD = "(?P<word>" + "|".join(ASKED) + ")"
END = r"(?:なのですか|なんですか|ですか|でしょうか|でしょう|だろうか|だ|か|なの)?"
AGENT = (
    r"(?:の|人|人物|方|作家|小説家|漫画家|画家|声優|作曲家|会社|スタジオ|アニメ会社|企業|出版社|グループ|歌手"
    r"|ところ|場所|キャラクター|町|都市|県|国)"
)
# Nouns that ask for an explanation, or for one of many: nothing that a reversed question could name.
EXPLAINED = (
    r"(?:理由|原因|違い|関係|特徴|仕組み|目的|経緯|意味|役割|あらすじ|内容|魅力|性格|きっかけ|背景|方法|展開|結末|世界観"
    r"|正体|要因|概要|影響|考え方|構造|構成|生い立ち|歴史|条件|手順|一つ|一人|一部|例)$"
)
HONOURED = r"(?:最初|最後|現在|本当|初代|一番|唯一|最大|最高|最年少|別|正式)"

_UNSPOKEN = re.compile(r"[\s「」『』、。,.!！?？・]")

# Stands for the question word of 「XのYの名前は何ですか」, which asks for persons and things alike.
NAME = "名前"

# Whole questions that name their relation by a verb. Each: pattern with (?P<x>...), and the relation it asks for.
VERB_FORMS: tuple[tuple[str, str], ...] = (
    (rf"(?P<x>.+?)(?:を|は誰が)(?:書い|描い|執筆し|著し|生み出し)た{AGENT}は{WORD}{END}", "作者"),
    (rf"(?P<x>.+?)は(?P<word>誰)が(?:書い|描い|執筆し)(?:た作品|まし|たの)(?:{END}|たか)", "作者"),
    (
        rf"(?P<x>.+?)を(?P<y>発明|発見|設計|作曲|作詞|翻訳|創業|設立|建立|考案)した{AGENT}は(?P<word>誰|だれ|どなた){END}",
        "{y}者",
    ),
    (rf"(?P<x>.+?)を監督した{AGENT}は{WORD}{END}", "監督"),
    (rf"(?P<x>.+?)を(?P<act>制作|製作|開発|出版|販売)し(?:た|ている){AGENT}は{WORD}{END}", "{act}会社"),
    (rf"(?P<x>.+?)の声を(?:担当し|演じ|当て)(?:た|ている|てい){AGENT}は{WORD}{END}", "声優"),
    (rf"(?P<x>.+?)を演じ(?:た|ている){AGENT}は{WORD}{END}", "声優"),
    (rf"(?P<x>.+?)の(?P<y>[^のをがはで、]+)を(?:担当し|務め|手がけ|手掛け)(?:た|ている){AGENT}は{WORD}{END}", "{y}"),
    (
        rf"(?P<x>.+?)で(?P<y>[^をがはで、]+?)(?:として(?:描かれている|登場する|知られる)|を務める|を務めている|を務めた|を担当した){AGENT}は{WORD}{END}",
        "{y}",
    ),
    (rf"(?P<x>.+?)の舞台(?:となっている|になっている|となる|となった|になった){AGENT}は{WORD}{END}", "舞台"),
    (rf"(?P<x>.+?)は{WORD}(?:が|を)舞台(?:の|にした|とした)?(?:作品|物語|アニメ|漫画)?{END}", "舞台"),
    (r"(?P<x>.+?)の(?P<y>放送|連載)[はが](?P<word>いつ|何年に)(?:始まり|開始され)まし?たか", "{y}開始年"),
    (rf"(?P<x>.+?)の(?P<y>放送|連載)が(?:始まった|開始された|スタートした)のは{WORD}{END}", "{y}開始年"),
    (
        r"(?P<x>.+?)[はが](?P<word>いつ|何年に)(?P<y>放送|公開|発売|発表|刊行|出版|設立|創業|開業|連載開始|放送開始)(?:され|し)ましたか",
        "{y}年",
    ),
    (rf"(?P<x>.+?)が(?P<y>放送|公開|発売|発表|刊行|出版|設立|創業|開業)(?:された|した)のは{WORD}{END}", "{y}年"),
    (r"(?P<x>.+?)[はが](?P<word>いつ|何年に)生まれましたか", "生年"),
    (r"(?P<x>.+?)は(?P<word>どこ)(?:の出身|出身|の生まれ)(?:ですか|でしょうか)", "出身地"),
    (r"(?P<x>.+?)は(?P<word>どこ)で生まれましたか", "出身地"),
    (r"(?P<x>.+?)の(?P<y>本社|本部|本店)は(?P<word>どこ)に(?:ありますか|あるのですか)", "{y}"),
    (r"(?P<x>.+?)は(?:周りから|仲間から|みんなから|周囲から)?(?P<word>何)と呼ばれていますか", "愛称"),
)


@dataclass(frozen=True)
class Question:
    """What a question asks: the `relation` of `subject`, with the question word; `context` is 「Tで、」 or empty."""

    context: str
    subject: str
    relation: str
    family: str
    word: str
    mark: str


@lru_cache
def _compiled() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(f"^{pattern}$"), relation) for pattern, relation in VERB_FORMS)


@lru_cache
def _noun_question() -> re.Pattern[str]:
    asks = rf"(?<!と)(?:は|って)、?{WORD}{END}"
    tells = (
        r"(?:を|について|が(?:誰|何|どこ|いつ)か)?、?(?:一つ)?(?:教えて|答えて|挙げて)"
        r"(?:ください|下さい|くれますか|いただけますか|ほしいです)?"
    )
    return re.compile(rf"^(?P<topic>.+?)(?:{asks}|{tells}|は)$")


@lru_cache
def _known_tail() -> re.Pattern[str]:
    nouns = "|".join(re.escape(noun) for noun in wordings().known_nouns())
    return re.compile(rf"^(?P<x>.+)の(?P<y>{nouns})$")


def read_question(question: str) -> Question | None:
    """What a question asks, or None where it has no form that is known."""
    text = question.strip()
    mark = "?" if text.endswith("?") else "？"
    text = re.sub(r"[？?。\s]+$", "", text)
    context, rest = split_context(text)
    for pattern, relation in _compiled():
        if match := pattern.match(rest):
            return _from_verb(match, relation, context, mark)
    return _from_noun(rest, context, mark)


def split_context(text: str) -> tuple[str, str]:
    """「Tで、」 at the head of a question, and what follows; ("", text) without one."""
    match = re.match(r"^(?P<context>(?:「[^」]+」|『[^』]+』|[^、「」『』]{2,24})で、)(?P<rest>.+)$", text)
    return (match["context"], match["rest"]) if match else ("", text)


def _from_verb(match: re.Match[str], relation: str, context: str, mark: str) -> Question | None:
    groups = match.groupdict()
    relation = relation.format(y=groups.get("y"), act=groups.get("act"))
    return _question(context, groups["x"], relation, groups["word"], mark)


def _from_noun(rest: str, context: str, mark: str) -> Question | None:
    match = _noun_question().match(rest)
    if not match:
        return None
    topic, word = match["topic"], match.groupdict().get("word") or ""
    named = re.match(r"^(?P<topic>.+の.+)の(?:名前|名|題名|タイトル|曲名)$", topic)
    if named and not re.search(rf"の{HONOURED}$", named["topic"]):
        topic, word = named["topic"], NAME if word != "誰" else word
    if known := _known_tail().match(topic):
        return _question(context, known["x"], known["y"], word, mark)
    split = re.match(rf"^(?P<x>.+)の(?P<y>(?:{HONOURED}の)?[^の「」『』]+)$", topic)
    if not split:
        return None
    return _question(context, split["x"], split["y"], word, mark)


def _question(context: str, subject: str, relation: str, word: str, mark: str) -> Question | None:
    subject = subject.strip()
    if inside := re.match(r"^(?P<work>「[^」]+」|『[^』]+』)で(?P<x>.+)$", subject):
        context, subject = f"{inside['work']}で、", inside["x"]
    family = wordings().family_of(relation)
    if not plain_subject(subject, generic=family is None) or not plain_noun(relation):
        return None
    said = "" if word == NAME else word.removesuffix("に")
    return Question(context, subject, relation, family or family_of_word(word), said, mark)


def family_of_word(word: str) -> str:
    """The family of wordings that asks with a question word; 無 asks with none."""
    if word in {"", NAME}:
        return "名" if word else "無"
    family = next((family for pattern, family in ASKED.items() if re.fullmatch(pattern, word)), "何")
    # The time of an event has wordings of its own; any other time is asked for as a quantity is.
    return "数" if family == "時" else family


def plain_noun(relation: str) -> bool:
    """Whether a relation is a bare noun: no clause, no list, no explanation asked for."""
    return not re.search(r"[、をがはでにへ]|と(?!り)|(?:する|した|れる|れた|ている|ない)", relation) and not (
        re.search(EXPLAINED, relation) or len(relation) > 16
    )


def plain_subject(subject: str, *, generic: bool) -> bool:
    """Whether a subject is a name rather than a clause; under a relation known by name any title may stand."""
    bare = re.sub(r"「[^」]*」|『[^』]*』", "題", subject).replace("に登場する", "の")
    if re.search(r"[「」『』]", bare) or len(subject) > 60:
        return False
    if "、" in bare and not re.fullmatch(r"[^、]*の[^、のをがはで]{1,8}、[^、をがはで]+", bare):
        return False
    return not generic or not re.search(
        r"(?<=[^ぁ-ん])[をがはで](?=[^ぁ-ん])|(?:する|した|れた|った|いた|えた|きた)(?=[^ぁ-ん])", bare
    )


def folded(text: str) -> str:
    """Text for comparing: width, quotes, spaces and punctuation do not count."""
    return _UNSPOKEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
