"""Lines that a web page or a printed page puts around its text.

A line that says something is none of them: `扫码支付便民利民`, `承办单位应当备案；` and `分享发展成果` stay. So each
pattern names what may follow its keyword, and never takes a line with a whole sentence. `技术支持：某某科技有限公司`
goes, `技术支持：推广测土配方施肥` stays; a longer name that no known word ends cannot be told, and stays too.
"""

from __future__ import annotations

import re

LONGEST = 120
"""Characters. A longer line carries text, whatever it begins with."""

# 【打印】【关闭】 · 大 中 小 · 【字体：大 中 小】
_BUTTONS = (
    r"(?:(?:[【\[(（]?(?:打印(?:本页|此页|文章)?|关闭(?:窗口|本页)?|返回(?:顶部|首页|列表)?|收藏(?:本页)?|纠错|复制链接|大|中|小)"
    r"|[【\[]?字[体号](?:大小)?[：:])[】\])）]?[\s|/·]*)+"
)
# What may follow the keyword of a field: a name, a date, a number.
# 新华社 · 张三（某大学教授）、李四 · 2022-03-21 10:30 · 35次
_END = r"(?=[\s|、]|$)"
_ACT = r"(?!\w*(?:(?<!自)由|负责|组织(?!部)|加强|强化|推[进动广]|开展|完成|落实|提升|提高|实施|做好|抓好|确保))"
_OF_WHOM = r"(?:（[^（），。；！？]{1,40}）)?"
_BODY = (
    r"[^\s|、，。；！？：:]{1,30}(?:政府|公司|集团|中心|委员会|联合会|[协学总工]会|大学|研究所|[局厅委院室司]|(?<!全)部|(?<!查)处"
    r"|(?<![查督主承])办|新华社|[日晚时学]报|电视台|网站|政府网|新闻网|客户端|公众号)"
)
_FIGURE = rf"[\dA-Za-z.:/@_年月日时分秒次人号期第\[\]-]{{1,40}}{_END}"
_KNOWN = rf"{_BODY}{_OF_WHOM}{_END}|《[^《》]{{1,30}}》\w{{0,12}}{_END}|{_FIGURE}"
_LONG_NAME = rf"{_ACT}(?>{_KNOWN})"
_NAME = rf"{_ACT}(?>{_KNOWN}|[\w·]{{1,6}}{_OF_WHOM}{_END})"
_NAMES = rf"{_NAME}(?:、{_NAME})*(?: {_LONG_NAME})*"

_FIELD = (
    # Byline: 来源：市政府办公室 作者：王小明 发布时间：2022-03-21 10:30 浏览次数：35次
    rf"(?:责任编辑|责编|编辑|审核|校对|发布人|发布者|作者|(?:信息|稿件|文章)?来源)[：:](?: ?{_NAMES})?"
    rf"|(?:(?:发布|更新)(?:日期|时间)|(?:浏览|阅读|点击)(?:次数|量|数)?)[：:](?: ?{_FIGURE})*"
    # Foot of the page: 版权所有：某市人民政府 技术支持：某某科技有限公司 联系我们：010-12345678
    r"|(?:版权所有|主办单位|承办单位|主办|承办|技术支持)"
    rf"(?:[：:][\s|©]*{_NAMES}|[\s|©]+{_LONG_NAME}(?:[ 、]{_LONG_NAME})*|[：:]?{_END})"
    rf"|(?:网站标识码|联系我们|网站地图|隐私声明|免责声明|关于我们)[：:]?(?:\s?{_FIGURE})*{_END}"
)
_LATER_FIELD = (
    r"(?:地址|(?:联系)?电话|传真|邮编|邮箱)[：:] ?[^\s，。；！？]{1,40}|\w?ICP备[\w-]{1,20}|\w{0,2}公网安备 ?\w{1,20}"
)
# No field is read again in another way (`?>`, `*+`): a line with many of them would take exponential time.
_FIELDS = rf"(?>{_FIELD})(?:[\s|]+(?>{_FIELD}|{_LATER_FIELD}))*+[\s|]*(?:{_BUTTONS})?"

_PATTERNS = (
    _BUTTONS,
    # Sharing: 分享到：微信 微博 · 用微信扫一扫分享至朋友圈
    r"分享(?:到|至)?(?:[：:\s]*(?:微信|朋友圈|好友|新浪|腾讯|微博|QQ|空间|人人网?|豆瓣|收藏夹|更多)[\s|/、，·]*)*",
    r"(?:请?用?(?:微信|手机))?(?:扫一扫|扫码|扫描)(?:下方|上方)?(?:二维码)?"
    r"(?:(?:关注|下载|打开|浏览|查看|阅读|访问|分享|在手机)[^，。；！？]{0,16})?[：:]?",
    # Navigation: 首页 > 政务公开 · 当前位置：首页 · 上一篇：…
    r"[上下]一[篇条页](?:[：:].{0,80})?",
    r"[您你]?(?:现在的?|当前的?|所在的?)位置是?[：:] ?"
    r"(?:[^，。；！？>＞»]{0,8}|首页[^，。；！？]{0,80}|[^，。；！？>＞»]{0,20}[>＞»][^。！？]{0,80})",
    r"首页(?:\s?[>＞»][^。！？>＞»]{1,20}){1,8}",
    _FIELDS,
    # Foot of the page: 免责声明：… · 京ICP备… · — 3 — · 第 3 页 共 9 页
    r"免责声明[：:][^。！？]{0,80}",
    r".{0,20}(?:ICP备|公网安备)[^。！？]{0,60}",
    r"[-—–·]\s?\d{1,4}\s?[-—–·]|第\s?\d{1,4}\s?页(?:[\s，/]{0,3}共\s?\d{1,4}\s?页)?",
)
_BOILERPLATE = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS))


def is_boilerplate(line: str) -> bool:
    """Whether a clean line, without its line break, belongs to the page and not to the text."""
    return len(line) <= LONGEST and _BOILERPLATE.fullmatch(line) is not None
