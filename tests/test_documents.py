"""Reading files: what they are, how their text is encoded, and that no paragraph is lost."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

import docx
import pytest
from docx.oxml import parse_xml
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from policy_topics.documents import MOST_PAGES, decode, read_document
from policy_topics.errors import DocumentError, UnsupportedDocument

SIMPLIFIED = "全市教育工作会议召开，研究部署义务教育课后服务工作。"
TRADITIONAL = "全市教育工作會議召開，研究部署義務教育課後服務工作。"
WORDML = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx_file(write: Callable[[docx.document.Document], object]) -> bytes:
    document = docx.Document()
    write(document)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pdf_file(pages: list[list[str]], password: str | None = None) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    file = io.BytesIO()
    canvas = Canvas(file, encrypt=password)
    for lines in pages:
        canvas.setFont("STSong-Light", 12)
        for number, line in enumerate(lines):
            canvas.drawString(70, 780 - 20 * number, line)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def web_page(body: str) -> bytes:
    return f"<!doctype html><html><head><title>页面</title></head><body>{body}</body></html>".encode()


# Text files


@pytest.mark.parametrize(
    ("text", "encoding", "read_as"),
    [
        (SIMPLIFIED, "utf-8", "utf-8"),
        (SIMPLIFIED, "utf-8-sig", "utf-8"),
        (SIMPLIFIED, "gb18030", "gb18030"),
        (TRADITIONAL, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5hkscs"),
        (SIMPLIFIED, "utf-16", "utf-16-le"),
        (SIMPLIFIED, "utf-16-le", "utf-16-le"),
        (SIMPLIFIED + "\n2022", "utf-16-be", "utf-16-be"),
        (SIMPLIFIED, "utf-32", "utf-32-le"),
        ("plain ASCII", "ascii", "utf-8"),
    ],
)
def test_encodings_are_told_apart(text: str, encoding: str, read_as: str) -> None:
    assert decode(text.encode(encoding)) == (text, read_as)


@pytest.mark.parametrize("text", ["教育工作", "会议召开", "农村供水保障"])
def test_few_characters_of_gb18030_are_enough(text: str) -> None:
    assert decode(text.encode("gb18030"))[0] == text


def test_invalid_bytes_in_utf8_are_replaced_and_counted() -> None:
    data = SIMPLIFIED.encode() + b"\xff\xfe\xb0" + SIMPLIFIED.encode()
    text, encoding = decode(data)
    assert text.startswith(SIMPLIFIED) and text.endswith(SIMPLIFIED)
    assert encoding == "utf-8 (3 bytes replaced)"


def test_a_cut_off_last_character_is_counted() -> None:
    assert decode(SIMPLIFIED.encode()[:-1])[1] == "utf-8 (2 bytes replaced)"


def test_a_declared_encoding_is_used() -> None:
    page = f'<html><head><meta charset="gb2312"></head><body>{SIMPLIFIED}</body></html>'
    document = read_document(page.encode("gb18030"), "a.html")
    assert (document.text, document.encoding) == (SIMPLIFIED, "gb18030")


def test_a_falsely_or_oddly_declared_encoding_is_not() -> None:
    for declared in ("gb2312", "no-such-encoding"):
        page = f'<html><head><meta charset="{declared}"></head><body>{SIMPLIFIED}</body></html>'
        assert read_document(page.encode(), "a.html").encoding == "utf-8"


@pytest.mark.parametrize("data", [b"\0" * 4096, bytes(range(256)) * 16, b"\x7fELF" + bytes(200)])
def test_binary_data_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedDocument, match="不是文本文件"):
        read_document(data, "data.txt")


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_document(data, "a.txt").text, str)
    except DocumentError as fault:
        assert "a.txt" in str(fault)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_utf8_is_always_read_as_it_was_written(text: str) -> None:
    assert decode(text.encode())[0] == text.removeprefix("\ufeff")


@pytest.mark.parametrize("name", ["a.txt", "a.docx", "a.pdf", "a.html", "a"])
def test_an_empty_file_is_a_document_without_text(name: str) -> None:
    assert read_document(b"", name).text == ""


@pytest.mark.parametrize(
    ("name", "media_type"), [("a.txt", "text/plain"), ("a.md", "text/markdown"), ("a", "text/plain")]
)
def test_text_files_keep_their_text(name: str, media_type: str) -> None:
    document = read_document(f"# 标题\n\n{SIMPLIFIED}\n".encode(), name)
    assert (document.name, document.text, document.media_type) == (name, f"# 标题\n\n{SIMPLIFIED}\n", media_type)


# Web pages

ARTICLE = """
<ul class="nav"><li><a href="/">首页</a></li><li><a href="/a">政务公开</a></li><li><a href="/b">办事服务</a></li></ul>
<div class="article"><h1>市教育局召开工作会议</h1>
<p>3月21日，市教育局召开会议，研究部署义务教育阶段课后服务工作。</p>
<p>会议强调，要坚持公益属性，丰富服务内容，<b>减轻</b>家长负担。</p>
<p>会议指出，要用好校内外资源，开设科普、文体、艺术、劳动、阅读等课程，满足学生多样化需求，让学生愿意来、留得住。</p>
<p>会议听取了各区教育局的工作汇报，通报了上学期课后服务检查情况，对下一阶段工作作出安排，要求逐校制定方案。</p>
<p>一是要加强组织领导。<br>二是要落实经费保障。</p>
<ul><li>扩大普惠性学前教育供给</li><li>办好特教</li></ul>
<table><tr><th>学校</th><th>学位</th></tr><tr><td>第一小学</td><td>1200</td></tr></table>
<p>各校要抓好落实。</p><p>各校要抓好落实。</p><script>var hidden = 1;</script></div>
<div class="footer"><a href="/c">联系我们</a></div>"""


def test_a_web_page_is_read_as_its_article() -> None:
    document = read_document(web_page(ARTICLE), "a.html")
    assert document.media_type == "text/html"
    assert document.text.split("\n") == [
        "市教育局召开工作会议",
        "3月21日，市教育局召开会议，研究部署义务教育阶段课后服务工作。",
        "会议强调，要坚持公益属性，丰富服务内容，减轻家长负担。",
        "会议指出，要用好校内外资源，开设科普、文体、艺术、劳动、阅读等课程，满足学生多样化需求，让学生愿意来、留得住。",
        "会议听取了各区教育局的工作汇报，通报了上学期课后服务检查情况，对下一阶段工作作出安排，要求逐校制定方案。",
        "一是要加强组织领导。",
        "二是要落实经费保障。",
        "扩大普惠性学前教育供给",
        "办好特教",
        "学校 | 学位",
        "第一小学 | 1200",
        "各校要抓好落实。",
        "各校要抓好落实。",
    ]
    assert document.dropped == ("首页", "政务公开", "办事服务", "联系我们")


def test_paragraphs_in_a_layout_table_stay_paragraphs() -> None:
    page = web_page(f"<table><tr><td><p>{SIMPLIFIED}</p><p>各校要抓好落实。</p></td></tr></table>")
    assert read_document(page, "a.html").text == f"{SIMPLIFIED}\n各校要抓好落实。"


def test_a_page_without_an_article_is_read_whole() -> None:
    document = read_document(web_page("<div>短讯</div><div>晴</div>"), "a.html")
    assert (document.text, document.dropped) == ("短讯\n晴", ())


def test_line_breaks_of_the_source_are_no_spaces_between_han() -> None:
    page = web_page(f"<p>{SIMPLIFIED[:8]}\n   {SIMPLIFIED[8:]}</p>")
    assert read_document(page, "a.html").text == SIMPLIFIED


def test_readings_above_characters_are_left_out() -> None:
    page = web_page("<p>全市<ruby>學<rp>(</rp><rt>xué</rt><rp>)</rp></ruby>校召开教育工作会议，研究部署工作。</p>")
    assert read_document(page, "a.html").text == "全市學校召开教育工作会议，研究部署工作。"


def test_a_page_is_known_by_its_content() -> None:
    assert read_document(web_page(f"<p>{SIMPLIFIED}</p>"), "saved.txt").media_type == "text/html"


def test_deeply_nested_tables_are_read() -> None:
    page = web_page("<table><tr><td>" * 60 + SIMPLIFIED + "</td></tr></table>" * 60)
    assert read_document(page, "a.html").text == SIMPLIFIED


def test_elements_that_are_nested_beyond_measure_lose_nothing_silently() -> None:
    def page(depth: int) -> bytes:
        return web_page("<div>" * depth + SIMPLIFIED + "</div>" * depth)

    assert read_document(page(400), "a.html").text == SIMPLIFIED
    for depth in (1500, 100_000):
        with pytest.raises(DocumentError, match=r"a\.html: .*nested too deeply"):
            read_document(page(depth), "a.html")


@pytest.mark.parametrize("hostile", ["<p>学" + "\n" * 200_000 + "x</p>", "<!---->" * 40_000 + SIMPLIFIED])
def test_a_long_run_of_one_thing_is_read(hostile: str) -> None:
    # A pattern that looks at the same characters again and again would not come back from this.
    assert read_document(hostile.encode(), "a.html").media_type == "text/html"


@pytest.mark.parametrize("body", ["", "<script>1</script>", "<!-- nothing -->"])
def test_a_page_without_text_is_a_document_without_text(body: str) -> None:
    assert read_document(web_page(body), "a.html").text == ""


# Word documents


def test_a_word_document_is_read_in_its_order() -> None:
    def write(document: docx.document.Document) -> None:
        document.add_heading("关于课后服务的通知", 1)
        document.add_paragraph(SIMPLIFIED)
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ["学校", "学位", "第一小学", "1200"], strict=True):
            cell.text = text
        document.add_paragraph("加强组织领导", style="List Bullet")
        document.add_paragraph("一行\n又一行")
        document.add_table(rows=1, cols=1).cell(0, 0).text = f"{SIMPLIFIED}\n{SIMPLIFIED}"

    document = read_document(docx_file(write), "通知.docx")
    assert document.text.split("\n") == [
        "关于课后服务的通知",
        SIMPLIFIED,
        "学校 | 学位",
        "第一小学 | 1200",
        "加强组织领导",
        "一行",
        "又一行",
        SIMPLIFIED,
        SIMPLIFIED,
    ]
    assert document.encoding is None


def test_content_controls_are_read_and_deleted_text_and_readings_are_not() -> None:
    def write(document: docx.document.Document) -> None:
        document.element.body.insert(
            0,
            parse_xml(
                f"<w:sdt {WORDML}><w:sdtContent><w:p><w:r><w:t>控件里的</w:t></w:r>"
                "<w:del><w:r><w:delText>删去的</w:delText></w:r></w:del>"
                "<w:r><w:ruby><w:rt><w:r><w:t>xué</w:t></w:r></w:rt>"
                "<w:rubyBase><w:r><w:t>學</w:t></w:r></w:rubyBase></w:ruby></w:r></w:p></w:sdtContent></w:sdt>"
            ),
        )

    assert read_document(docx_file(write), "a.docx").text == "控件里的學"


def test_a_word_document_is_known_by_its_content() -> None:
    data = docx_file(lambda document: document.add_paragraph(SIMPLIFIED))
    assert read_document(data, "upload.bin").text == SIMPLIFIED


# PDF


def test_a_pdf_is_read_line_by_line() -> None:
    document = read_document(pdf_file([["关于课后服务的通知", SIMPLIFIED], ["第二页"]]), "a.pdf")
    assert document.text.split() == ["关于课后服务的通知", SIMPLIFIED, "第二页"]
    assert document.media_type == "application/pdf"


def test_a_scanned_pdf_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"OCR.*文字识别"):
        read_document(pdf_file([[], []]), "scan.pdf")


def test_pages_without_text_are_told() -> None:
    document = read_document(pdf_file([[SIMPLIFIED], [], ["第三页"], []]), "a.pdf")
    assert SIMPLIFIED in document.text
    (remark,) = document.remarks
    assert remark.startswith("no text on page(s) 2, 4; scanned pages are not read") and "这些页没有文字" in remark


def test_a_pdf_with_text_on_every_page_has_no_remark() -> None:
    assert read_document(pdf_file([[SIMPLIFIED]]), "a.pdf").remarks == ()


def test_of_very_many_pages_without_text_the_first_are_named_and_the_rest_counted() -> None:
    (remark,) = read_document(pdf_file([[SIMPLIFIED], *[[]] * (MOST_PAGES + 2)]), "a.pdf").remarks
    assert " 2, 3, 4, " in remark and f", {MOST_PAGES + 1} and 2 more; scanned" in remark


def test_an_encrypted_pdf_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"encrypted.*加密"):
        read_document(pdf_file([[SIMPLIFIED]], password="secret"), "a.pdf")


# Other files and damaged ones


def zip_file(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        for name in names:
            package.writestr(name, "<a/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "a.doc", "save it as .docx"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a.png", "OCR"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a.txt", "OCR"),
        (b"{\\rtf1 text}", "a.rtf", "save it as .docx"),
        (b"\x1f\x8b" + bytes(100), "a.gz", "unpack"),
        (zip_file("xl/workbook.xml"), "a.xlsx", "Excel"),
        (zip_file("notes.txt"), "a.zip", "another kind of zip"),
    ],
)
def test_other_types_are_refused_with_advice(data: bytes, name: str, told: str) -> None:
    with pytest.raises(UnsupportedDocument, match=told) as caught:
        read_document(data, name)
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (docx_file(lambda document: document.add_paragraph(SIMPLIFIED))[:2000], "a.docx"),
        (zip_file("word/document.xml"), "a.docx"),
        (SIMPLIFIED.encode(), "a.docx"),
        (b"%PDF-1.7 broken", "a.pdf"),
        (SIMPLIFIED.encode(), "a.pdf"),
    ],
)
def test_damaged_files_are_refused_with_advice(data: bytes, name: str) -> None:
    with pytest.raises(DocumentError, match=r"save it again.*重新保存"):
        read_document(data, name)


def test_a_word_document_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = docx_file(lambda document: document.add_paragraph(SIMPLIFIED))
    monkeypatch.setattr("policy_topics.documents.LARGEST_UNPACKED", 1000)
    with pytest.raises(DocumentError, match="split it"):
        read_document(data, "a.docx")
