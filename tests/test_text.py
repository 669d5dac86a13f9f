"""Cleaning: what it repairs, what it leaves alone, and that every character can be traced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_topics.boilerplate import LONGEST, is_boilerplate
from policy_topics.text import clean, simplify

DIRT = [
    "學", "習", "們(men)", "(xué)", "（xí)", "(GDP)", "(", ")", "（", "）", " ", "　", "\n", "\n\n", "\r\n", "\t",
    ",", ".", "!", "?", "。", "：", ":", "“", "」", "2022", "ａ", "％", "⼀", "薴", "么麼", "\x00", "\ud800", "\u200b",
    "\u0301", "é", "😀", "①", "一.", "打印", "【关闭】", "来源：新华社", "首页 > 要闻", "— 3 —", "扫一扫", "|",
    "会议还", "要推进老旧小区改造",
]  # fmt: skip
dirty_texts = st.one_of(st.text(alphabet=st.characters(codec=None)), st.lists(st.sampled_from(DIRT)).map("".join))


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("學(xué)習(xí)貫徹", "学习贯彻"),
        ("責（zé）任擔( dān )當(dàng)", "责任担当"),
        ("学(xué)(xiáo)校", "学校"),
        ("女(nǚ)性，绿(lǜ)色，关(ɡuān)心", "女性，绿色，关心"),
        ("好(ha\u030co)事", "好事"),
        ("我們(men)的(de)孩子(zi)來(lái)了(le)", "我们的孩子来了"),
    ],
)
def test_pinyin_glosses_are_removed(dirty: str, cleaned: str) -> None:
    assert clean(dirty).text == cleaned


@pytest.mark.parametrize("text", ["增长(GDP)和(2022)", "人工智能(ai)", "加强(de)", "若泽(José)", "咖啡(café)", "(xué)"])
def test_ordinary_brackets_stay(text: str) -> None:
    assert clean(text).text == text


def test_traditional_becomes_simplified() -> None:
    assert clean("黨委會議聽取彙報，研究鄉村振興").text == "党委会议听取汇报，研究乡村振兴"


def test_a_traditional_particle_becomes_the_simplified_one_and_works_stay_works() -> None:
    assert simplify("著力補短板，著眼長遠，沿著這條路") == "着力补短板，着眼长远，沿着这条路"
    assert simplify("名著手稿、顯著成效、專著、著作權") == "名著手稿、显著成效、专著、著作权"


def test_simplifying_goes_on_until_nothing_is_left_to_simplify() -> None:
    assert simplify("薴") == simplify(simplify("薴")) == "苎"


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        ("近期,要抓好落实;明确责任:", "近期，要抓好落实；明确责任："),
        ("增长3.5%,好于去年!", "增长3.5%，好于去年！"),
        ("加强管理.同时改进服务.", "加强管理。同时改进服务。"),
        ("实施方案(2021年)的通知", "实施方案（2021年）的通知"),
        ("比分是3:2,人均1,000元", "比分是3:2，人均1,000元"),
        ("see https://a.cn/b?c=1, then go.", "see https://a.cn/b?c=1, then go."),
        ("一.加强领导", "一.加强领导"),
    ],
)
def test_half_width_marks_next_to_han_become_full_width(dirty: str, cleaned: str) -> None:
    assert clean(dirty).text == cleaned


def test_forms_for_compatibility_become_ordinary_characters() -> None:
    assert clean("ＧＤＰ增长１２．５％，「重点」⼯程﹐金").text == "GDP增长12.5%，“重点”工程，金"


def test_numbers_in_circles_and_units_stay() -> None:
    assert clean("①面积5㎡").text == "①面积5㎡"


def test_invisible_characters_are_removed() -> None:
    assert clean("\ufeff加\u200b强\u00ad管\x00理\ud800").text == "加强管理"


def test_one_space_between_sentences_stays_as_a_possible_break() -> None:
    assert clean("  会议结束。 　 会议强调  \n\n\n\n要落实 ").text == "会议结束。 会议强调\n\n要落实"


def test_boilerplate_lines_are_dropped_and_told() -> None:
    cleaned = clean("首页 > 要闻\n會議召開。\n【打印】 【關閉】\n— 3 —\n版权所有：某市政府")
    assert cleaned.text == "会议召开。"
    assert cleaned.dropped == ("首页 > 要闻", "【打印】 【关闭】", "— 3 —", "版权所有：某市政府")


@pytest.mark.parametrize(
    "line",
    [
        "字体：大 中 小",
        "来源：市政府办公室 作者：王小明 发布时间：2022-03-21 10:30 浏览次数：35次 【打印】",
        "用微信扫一扫分享至朋友圈",
        "分享到：微信 微博",
        "上一篇：关于召开座谈会的通知",
        "当前位置：首页 > 政务公开 > 通知",
        "您现在的位置：网站首页 > 要闻 > 某市召开会议，部署春耕",
        "审核：张三 编辑：李四",
        "作者：张三（某大学经济学院院长、教授） 来源：《某大学学报》2024年第6期",
        "主办：市教育局 承办：市农业农村局、市水利局",
        "技术支持：某某（北京）科技有限公司 电话：010-00000000",
        "版权所有 © 2021 某市人民政府",
        "关于我们 | 联系我们 | 网站地图",
        "浏览次数：",
        "免责声明：本文仅代表作者观点，与本网站无关",
        "某ICP备00000000号",
        "第 3 页 共 9 页",
    ],
)
def test_boilerplate_is_known(line: str) -> None:
    assert is_boilerplate(line)


@pytest.mark.parametrize(
    "line",
    [
        "扫码支付便民利民",
        "承办单位应当自收到之日起十日内备案；",
        "分享发展成果",
        "来源于群众，服务于群众",
        "技术支持企业转型",
        "关闭落后产能",
        "技术支持：组织农技人员下乡指导春耕生产，推广测土配方施肥",
        "技术支持：推广测土配方施肥",
        "承办 全市职业技能大赛，提升产业工人技能水平",
        "承办单位：市生态环境局，完成全部入河排污口整治并通过验收",
        "主办：市卫生健康委 推进健康扶贫工程，解决因病致贫问题",
        "审核：由乡镇人民政府负责初审",
        "编辑：加强意识形态管理",
        "来源：中央财政专项资金",
        "浏览：提升旅游景区服务水平",
        "关于我们 加快发展",
        "联系我们：群众可拨打12345热线反映欠薪问题",
        "当前位置：春耕备耕进入关键时期，要压实责任",
        "打印机采购项目",
        "2022",
    ],
)
def test_a_line_that_says_something_is_no_boilerplate(line: str) -> None:
    assert not is_boilerplate(line)


@pytest.mark.parametrize("field", ["主办 ", "来源：市局、市局 ", "联系我们 ", "作者：张三（市局） ", "2021 ", "首页>"])
@pytest.mark.parametrize("keyword", ["", "来源：", "主办 ", "版权所有："])
def test_a_line_of_many_fields_is_read_in_one_way_only(keyword: str, field: str) -> None:
    # A pattern that tries each field in two ways would not come back from this.
    assert not is_boilerplate((keyword + field * 120)[: LONGEST - 1] + "。")


def test_a_span_leads_back_into_the_input() -> None:
    dirty = "打印\n  會議(yì)強調,要落實。"
    cleaned = clean(dirty)
    start, end = cleaned.span(cleaned.text.index("会议"), cleaned.text.index("，"))
    assert dirty[start:end] == "會議(yì)強調"


@pytest.mark.parametrize(
    "unit", ["学", "(", "( ", "学(xu", "学(á)", "!", "\n", " \n", "x \n", "来源：a ", "大 ", "学,(", "。”"]
)
def test_a_megabyte_of_one_thing_is_cleaned(unit: str) -> None:
    # A pattern that looks at the same characters again and again would not come back from this.
    text = unit * (1_000_000 // len(unit)) + "x"
    cleaned = clean(text)
    assert len(cleaned.text) == len(cleaned.origin) <= len(text)


@given(dirty_texts)
def test_cleaning_is_idempotent(dirty: str) -> None:
    cleaned = clean(dirty)
    again = clean(cleaned.text)
    assert again.text == cleaned.text
    assert again.dropped == ()


@given(dirty_texts)
def test_every_clean_character_has_its_own_place_in_the_input(dirty: str) -> None:
    cleaned = clean(dirty)
    assert len(cleaned.origin) == len(cleaned.text)
    assert sorted(set(cleaned.origin)) == list(cleaned.origin)
    assert all(0 <= place < len(dirty) for place in cleaned.origin)
