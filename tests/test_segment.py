"""Segmentation: where paragraphs and sentences begin and end."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_topics.fingerprint import text_fingerprint
from policy_topics.segment import OVERLONG, PIECE, paragraphs, sentences
from policy_topics.text import HAN, clean

LONG_ITEM = "要健全长效管护机制，落实管护主体、管护责任和管护经费，做到有人管、有钱修、管得好，确保群众用水不断供"
PIECES = [
    "会议传达学习了", "会议还", "会议强调，", "；讨论了", "一是", "（一）", "一、", "第十二条", "——", "1.", "1)", "⑴",
    "。", "；", "！", "。”", "“", "，", " ", "\n", "\n\n", "(", ")", "|", "打印", "来源：新华社", "— 3 —",
    "学(xué)", "GDP", "2022", "😀",
    "\x00", "\ud800", LONG_ITEM, LONG_ITEM * 9,
]  # fmt: skip
documents = st.one_of(st.text(alphabet=st.characters(codec=None)), st.lists(st.sampled_from(PIECES)).map("".join))


def texts(document: str) -> list[str]:
    return [paragraph.text for paragraph in paragraphs(document).paragraphs]


def test_a_line_is_a_paragraph() -> None:
    lines = [
        "关于加强供水管理的通知",
        "各区人民政府：",
        "一、总体要求",
        "坚持节水优先。一是管好水源。二是管好水质。",
        "市水务局",
    ]
    assert texts("\n".join(lines)) == lines
    assert texts("\n\n".join(lines)) == lines


def test_a_paragraph_knows_its_place_in_the_input() -> None:
    document = "  會議(yì)召開。\r\n打印\r\n要落實責任。"
    first, second = paragraphs(document).paragraphs
    assert (first.index, second.index) == (0, 1)
    assert document[first.start : first.end] == "會議(yì)召開。"
    assert document[second.start : second.end] == "要落實責任。"


def test_lines_broken_by_a_fixed_width_are_joined() -> None:
    letter = """\
各位同事：
现将本周工作安排通知如下。请各科室于周五之前报送老旧小区改
造项目的进展情况，并说明资金使用、群众意见和下一步打算，由
办公室汇总后报局领导。
一、会议时间
周四下午三点。"""
    assert texts(letter) == [
        "各位同事：",
        "现将本周工作安排通知如下。请各科室于周五之前报送老旧小区改造项目的进展情况，并说明资金使用、群众意见和下一步打算，"
        "由办公室汇总后报局领导。",
        "一、会议时间",
        "周四下午三点。",
    ]


def test_one_wrapped_sentence_is_joined() -> None:
    wrapped = "为深入贯彻落实市委市政府关于乡村振兴的决策部署，进一步\n加快农业农村现代化，现提出以下意见。"
    assert texts(wrapped) == [wrapped.replace("\n", "")]


def test_a_comma_at_the_end_of_a_line_joins_it_to_the_next() -> None:
    assert texts("要抓好春耕，\n备足农资。\n要抓好防汛。") == ["要抓好春耕，备足农资。", "要抓好防汛。"]


def test_latin_words_are_joined_with_a_space() -> None:
    assert texts("the council met to discuss,\nand then approved it.") == [
        "the council met to discuss, and then approved it."
    ]


def test_a_sentence_over_a_page_break_is_joined() -> None:
    page = "推进基本公共服务均等化，加快补齐县域医疗卫生服务的短板弱\n— 3 —\n项，让群众就近看病。"
    segmented = paragraphs(page)
    assert [p.text for p in segmented.paragraphs] == [page.replace("\n— 3 —\n", "")]
    assert segmented.dropped == ("— 3 —",)


@pytest.mark.parametrize(
    "lines",
    [
        ["强化责任，狠抓落实", "凝心聚力，开创新局", "攻坚克难，再谱新篇"],
        [
            "关于进一步加强全市老旧小区改造工作有关事项的通知",
            "各区人民政府，市政府各部门，各有关单位，各直属机构，各国有企业：",
        ],
    ],
)
def test_titles_and_slogans_are_not_joined(lines: list[str]) -> None:
    assert texts("\n".join(lines)) == lines


def test_one_line_is_cut_at_agenda_turns() -> None:
    assert texts(
        "市委召开常委会会议，研究当前工作。会议传达学习了全省教育工作会议精神。会议强调，要办好人民满意的教育。会议指出，要加大投入。"
        "会议听取了信访工作情况汇报；审议了《青山县养老服务规划》；会议还研究了其他事项。"
    ) == [
        "市委召开常委会会议，研究当前工作。",
        "会议传达学习了全省教育工作会议精神。会议强调，要办好人民满意的教育。会议指出，要加大投入。",
        "会议听取了信访工作情况汇报；",
        "审议了《青山县养老服务规划》；",
        "会议还研究了其他事项。",
    ]


@pytest.mark.parametrize("said", ["会议强调", "会议指出", "会议要求", "会议还强调", "会议认为"])
def test_what_a_meeting_says_is_no_new_item(said: str) -> None:
    assert len(texts(f"会议研究部署了全县秋冬季森林防火工作。{said}，要压实责任，落实二十四小时值班制度。")) == 1


@pytest.mark.parametrize(
    "mark",
    ["——", "一是", "（一）", "一、", "1.", "第一条", "第十二条", "①", "⒈", "⒛", "⑴", "⒇", "㈠", "㈩", "1）", "12)"],
)
def test_one_line_is_cut_at_list_marks(mark: str) -> None:
    items = [f"{mark}{LONG_ITEM}。", f"{mark}{LONG_ITEM}。"]
    assert texts("".join(items)) == items


@pytest.mark.parametrize("inside", ["区间（1；2）内的数值都要如实上报", "f(x；1)的数值都要如实上报"])
def test_a_number_that_closes_a_bracket_is_no_list_mark(inside: str) -> None:
    text = f"{LONG_ITEM}，{inside}，{LONG_ITEM}。"
    assert len(texts(text)) == 1


@pytest.mark.parametrize(
    ("above", "below"),
    [("现将有关资金的使用情况（见附件", "1）报送给你们"), ("现将第", "1）项所列资金的使用情况报送给你们")],
)
def test_a_line_that_begins_inside_a_bracket_begins_no_list_item(above: str, below: str) -> None:
    full = "为深入贯彻落实市委市政府关于乡村振兴的决策部署，进一步加快农业现代化，"
    wrapped = f"{full}{above}\n{below}，请遵照执行。"
    assert texts(wrapped) == [wrapped.replace("\n", "")]


def test_short_list_items_stay_together() -> None:
    text = "会议强调，要做好三项工作。一是加强组织领导；二是强化资金保障；三是抓好督促检查。"
    assert texts(text) == [text]


def test_a_reference_to_an_article_is_no_article() -> None:
    text = f"{LONG_ITEM}。第三条规定的期限届满后，应当重新申请，并提交有关材料，由主管部门依法审核后作出书面决定。"
    assert texts(text) == [text]


def test_a_dash_inside_a_sentence_is_no_list_mark() -> None:
    text = f"{LONG_ITEM}——这是基本要求，各级各部门都要牢牢记住，做到守土有责、守土担责、守土尽责，一刻也不能放松。"
    assert texts(text) == [text]


def test_one_line_is_cut_at_spaces_that_scraping_left() -> None:
    assert texts("全县教育工作会议召开。 会议强调，要立德树人。 他说：“要落实。 ”随后休会散场。") == [
        "全县教育工作会议召开。",
        "会议强调，要立德树人。",
        "他说：“要落实。 ”随后休会散场。",
    ]


def test_a_long_line_among_others_is_cut_too() -> None:
    items = [f"——{LONG_ITEM}，{LONG_ITEM}。"] * 5
    assert texts("工作要点\n" + "".join(items)) == ["工作要点", *items]


def test_an_overlong_line_without_marks_is_cut_evenly_at_sentence_ends() -> None:
    text = f"{LONG_ITEM}。" * 40
    pieces = texts(text)
    assert "".join(pieces) == text
    assert all(piece.endswith("。") and PIECE / 2 < len(piece) < PIECE * 1.5 for piece in pieces)


def test_a_line_that_is_merely_long_stays_whole() -> None:
    text = f"{LONG_ITEM}。" * 15
    assert len(text) < OVERLONG
    assert texts(text) == [text]


def test_no_cut_is_inside_a_sentence_however_long() -> None:
    text = f"{LONG_ITEM}，" * 60 + "这是一句话。"
    assert texts(text) == [text]


def test_pieces_without_a_word_are_dropped_and_told() -> None:
    segmented = paragraphs("会议召开完毕并且散会。 |")
    assert [p.text for p in segmented.paragraphs] == ["会议召开完毕并且散会。"]
    assert segmented.dropped == ("|",)


def test_boilerplate_at_the_end_of_one_line_is_dropped() -> None:
    segmented = paragraphs("全县教育工作会议召开。 责任编辑：王小明")
    assert [p.text for p in segmented.paragraphs] == ["全县教育工作会议召开。"]
    assert segmented.dropped == ("责任编辑：王小明",)


@pytest.mark.parametrize("nothing", ["", " \n ", "|", "打印\n关闭"])
def test_a_document_without_text_has_no_paragraphs(nothing: str) -> None:
    assert paragraphs(nothing).paragraphs == ()


def test_sentences_keep_their_quotes_and_spaces() -> None:
    assert sentences("他说：“要快！”会议结束？！ 好。\n下一行 v1.2 of it. 完") == [
        "他说：“要快！”",
        "会议结束？！ ",
        "好。\n",
        "下一行 v1.2 of it. ",
        "完",
    ]


@pytest.mark.parametrize("unit", ["学", "。", "。”", "! ", "；会议还", "，\n", "—\n", "a.\n", "一是", "会议还"])
def test_a_long_run_of_one_thing_is_segmented(unit: str) -> None:
    # A pattern that looks at the same characters again and again would not come back from this.
    document = unit * (250_000 // len(unit)) + "x"
    assert "".join(sentences(document)) == document
    assert paragraphs(document).paragraphs[-1].end == len(document)


@given(documents)
def test_no_han_character_is_lost_or_doubled(document: str) -> None:
    han = re.compile(f"[{HAN}]")
    cleaned, segmented = clean(document), paragraphs(document)
    assert segmented.dropped[: len(cleaned.dropped)] == cleaned.dropped
    kept = [*texts(document), *segmented.dropped[len(cleaned.dropped) :]]
    assert Counter(han.findall("".join(kept))) == Counter(han.findall(cleaned.text))


@given(documents)
def test_offsets_rise_and_lead_to_the_paragraph(document: str) -> None:
    end = 0
    for index, paragraph in enumerate(paragraphs(document).paragraphs):
        assert paragraph.index == index
        assert end <= paragraph.start < paragraph.end <= len(document)
        assert clean(document[paragraph.start]).text in ("", paragraph.text[0]) or not paragraph.text[0].isalnum()
        end = paragraph.end


@given(st.lists(st.sampled_from(["會議傳達學習(xí)了全省會議精神,部署工作", LONG_ITEM, "要(2021)抓好GDP"]), min_size=1))
def test_the_input_at_a_paragraphs_offsets_is_the_paragraph(clauses: list[str]) -> None:
    document = "。 ".join(clauses) + "。"
    for paragraph in paragraphs(document).paragraphs:
        assert clean(document[paragraph.start : paragraph.end]).text == paragraph.text


@given(st.text())
def test_sentences_joined_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_the_fingerprint_is_the_same_each_time() -> None:
    assert text_fingerprint() == text_fingerprint()


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("segment.SHORTEST_ITEM", 10),
        ("segment.SHORTEST_TURN", 20),
        ("segment.LONG_LINE", 5000),
        ("segment.OVERLONG", 5000),
        ("segment.PIECE", 200),
        ("segment.NARROWEST_WRAP", 200),
        ("segment._TURN", re.compile("会议传达")),
        ("segment._NEXT_ITEM", re.compile("$")),
        ("text._TONELESS", {}),
        ("text._FULL_WIDTH", {}),
        ("text._SYLLABLE", re.compile("$")),
        ("text.simplify", str),
        ("text.is_boilerplate", lambda line: False),
    ],
)
def test_the_fingerprint_sees_a_changed_rule(monkeypatch: pytest.MonkeyPatch, rule: str, changed: object) -> None:
    before = text_fingerprint()
    monkeypatch.setattr(f"policy_topics.{rule}", changed)
    assert text_fingerprint() != before
