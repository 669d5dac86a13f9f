"""A fingerprint of what cleaning and segmentation do.

A bundle carries the fingerprint of the code that its model was trained behind; loading compares it, so that training
and serving cannot drift apart unnoticed. A change of code that leaves the sample's paragraphs alone leaves it alone.
"""

from __future__ import annotations

import hashlib

from policy_topics.segment import paragraphs, sentences

_LINES = """\
首页 > 要闻动态 > 正文
來源：青山縣人民政府辦公室　發布時間：2021-05-06 09:30　【字号：大 中 小】【打印】
5月6日,縣政府召開會議,學(xué)習(xí)有關(guān)精神,研究我們(men)縣(AI)產業(2021年)發展。
　　會議強調,要「統籌發展和安全」,落實“米袋子”責任(試行);增長3.5%,達１２００萬元!

关于做好农村饮水安全工作的
若干意见（征求意见稿）
一、总体要求
各乡镇要把农村饮水安全摆在突出位置，健全长效管护机制，落实管护主体、管护责任和管
护经费，做到有人管、有钱修，确保群众用水不断供、水质不下降，并把落实情况纳入年度考
— 2 —
核。县水务局会同有关部门开展检查，对工作不力的予以通报。
第十二条　本办法由县水务局负责解释\u200b，自印发之日起施行
|
扫一扫在手机打开当前页
版权所有：青山县人民政府　浙ICP备00000000号"""

_ONE_LINE = (
    "青山县委召开常委会会议,研究全县重点工作。 会议传达学习了全省教育工作会议精神。会议强调,要办好人民满意的教育。 "
    "——要扩大普惠性学前教育资源，新建改扩建幼儿园十二所，切实缓解入园难、入园贵问题，让家长放心满意。"
    "——要提升高中办学水平，实施县中振兴行动计划，引进和培养一批骨干教师，推动教育质量迈上新的台阶。"
    "会议研究部署了防汛工作。会议指出，一是压实各级责任，抓好隐患排查；二是备足物资，抓好应急演练；三是加强值守。"
    "会议听取了信访工作情况汇报；审议通过了《青山县养老服务规划》；会议还研究了其他事项。“要抓好落实。”会议要求。 |"
)
_OVERLONG = "".join(f"第{number}个村要因地制宜发展特色产业，带动农民增收，巩固脱贫成果。" for number in range(50))
_SAMPLE = (_LINES, _ONE_LINE, f"会议纪要\n{_ONE_LINE}{_ONE_LINE}", _OVERLONG)


def text_fingerprint() -> str:
    """SHA-256, in hex, over the paragraphs, sentences and dropped lines that a fixed dirty sample comes out as."""
    digest = hashlib.sha256()
    for document in _SAMPLE:
        segmented = paragraphs(document)
        for paragraph in segmented.paragraphs:
            digest.update(f"{paragraph.start} {paragraph.end} {'|'.join(sentences(paragraph.text))}\n".encode())
        digest.update("\n".join(("dropped", *segmented.dropped, "")).encode())
    return digest.hexdigest()
