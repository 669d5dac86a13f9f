// Every text of the page, in both languages, and which of them is in use.

const KEPT = "policy-topics-language";

const STRINGS = {
  zh: {
    title: "政策主题",
    subtitle: "逐段判断政策文本的主题，附校准后的概率",
    skip: "跳到正文",
    views: "视图",
    tab_read: "分析",
    tab_queue: "待标注",
    tab_queue_count: "待标注 {count}",
    other_language: "English",
    text_label: "文本",
    text_placeholder: "在此粘贴会议纪要、政府工作报告、政策文件……",
    choose_file: "选择文件",
    formats: "也可将文件拖到此处：TXT、HTML、DOCX、PDF",
    chosen: "已选择文件：{name}（{size}）",
    unchoose: "改为粘贴文本",
    one_file: "一次处理一个文件；已选择 {name}。",
    send: "标注主题",
    nothing: "请先粘贴文本或选择文件。",
    pasted: "粘贴的文本",
    reading: "正在读取文件……",
    started: "开始标注，共 {characters} 字。",
    progress: "进度",
    reached: "已完成 {percent} %，{paragraphs} 段。",
    counts_running: "{paragraphs} 段 · 已读 {done} / {characters} 字",
    counts: "{paragraphs} 段 · {characters} 字",
    counts_dropped: "{paragraphs} 段 · {characters} 字 · 略去 {dropped} 行网页杂项",
    finished: "标注完成，共 {paragraphs} 段。",
    cancel: "取消",
    cancelled: "已取消；已标注的 {paragraphs} 段保留在页面上。",
    resume: "从中断处继续",
    another: "换一份文本",
    another_sure: "有更正尚未保存，换文本后将丢失。仍要继续吗？",
    waiting: "服务繁忙，{seconds} 秒后自动重试。",
    no_text: "没有可标注的文字。扫描件请先做文字识别（OCR）。",
    overview: "概览",
    mix: "全文主题",
    mix_note: "按篇幅计的占比；一段可有多个主题。点击可筛选。",
    mix_table: "全文主题占比",
    mix_label: "全文主题占比；选择一项只看该主题的段落",
    mix_row: "{topic}，占 {percent}，{count} 段",
    topic: "主题",
    share: "占比",
    paragraph_count: "段数",
    no_topic: "无主题",
    take: "导出",
    copy: "复制",
    copied: "已复制为表格，可粘贴到 Excel、WPS 或 Word。",
    copy_failed: "浏览器不允许复制，请改为下载。",
    saved_as: "已下载 {name}。",
    legend: "图例",
    legend_explain: "点击一段的主题，标出判断所依据的词；悬停或聚焦可见概率。",
    legend_weak: "虚线与“弱”：概率低于 60 %，宜复核。",
    legend_offset: "左侧色条为该段的主要主题。",
    weak: "弱",
    corrected: "已更正",
    paragraphs: "逐段主题",
    probability: "概率 {percent}",
    by_hand: "人工添加",
    filter_text: "只看“{topics}”：{shown} / {all} 段",
    filter_or: "”或“",
    filter_clear: "显示全部",
    topics_of: "第 {number} 段的主题",
    explaining: "正在逐词遮挡并重新判断……",
    explained: "“{topic}”（概率 {percent}）所依据的词",
    explained_note: "遮挡法（occlusion）：逐一去掉每个词再判断；数字为去掉后该主题对数几率的下降。",
    explained_none: "去掉任何一个词，“{topic}”的概率都几乎不降：它取决于整段，而非个别词。",
    correct: "更正",
    correct_label: "更正第 {number} 段的主题",
    editing: "更正第 {number} 段的主题",
    chosen_topics: "更正后的主题（最多 {most} 个，第一个为主要主题）",
    main: "主要",
    make_main: "将“{topic}”设为主要主题",
    remove: "去掉“{topic}”",
    add: "添加主题",
    add_placeholder: "输入名称查找……",
    add_full: "已有 {most} 个主题；先去掉一个才能添加。",
    add_none: "没有匹配的主题",
    no_topics_chosen: "没有主题",
    added: "已添加“{topic}”。",
    removed: "已去掉“{topic}”。",
    consent: "同意保存这一段，用于改进模型",
    consent_note:
      "勾选后才能保存。保存的内容：这一段的原文、模型给出的主题与概率、您更正的主题、模型版本、文档名称、时间，以及所用密钥的名称（如有）。保存位置：运行本页服务（{host}）的机构的数据库，不会发往别处。",
    save: "保存",
    save_next: "保存并看下一段",
    saving: "正在保存……",
    saved: "已保存。",
    save_failed: "未能保存，更正仍保留在本页。",
    retry: "重试",
    close: "关闭",
    undo: "恢复原主题",
    queue_intro: "这些段落最值得人工判断。看原文，改主题，保存；拿不准就跳过。",
    queue_place: "第 {place} 段，还剩 {left} 段",
    queue_from: "出自：{document}",
    queue_model: "模型的判断",
    skip_item: "跳过",
    queue_done: "全部看完了。谢谢！",
    queue_again: "再看跳过的",
    key_label: "API 密钥",
    key_use: "使用",
    key_note: "此服务需要密钥，请向管理员索取。密钥只留在本标签页，关闭即清除。",
    key_characters: "密钥只含英文字母、数字和符号，中间没有空格；请只粘贴密钥本身。",
    key_wrong: "密钥无效或已过期，请核对后再试。",
    api: "接口说明（OpenAPI）",
    model: "模型 {name} {version}，分类体系第 {taxonomy} 版",
    fault: "出错了",
    do_too_large: "内容超过上限。请拆分后分几次处理。",
    too_large_file: "文件大小为 {size}，上限为 {most}。",
    do_unsupported_type: "不支持这种文件。请另存为 TXT、HTML、DOCX 或 PDF。",
    do_unreadable_document: "文件无法读取。请检查能否正常打开、是否加密，或另存后重试。",
    do_busy: "服务繁忙。请稍后重试。",
    do_rate_limited: "请求过于频繁。请稍后重试。",
    do_not_ready: "服务尚未就绪。请稍后重试。",
    do_timeout: "处理时间过长。请减少内容或稍后重试。",
    do_internal: "服务出错。请重试；若再次出现，请联系管理员。",
    do_network: "连不上服务。请检查网络，以及服务是否在运行。",
    network: "请求没有得到回应。",
    do_feedback_off: "本服务不接收更正。",
    do_feedback_unavailable: "更正库暂不可用。请稍后重试。",
    do_other: "请求未被接受。",
  },
  en: {
    title: "Policy topics",
    subtitle: "What a Chinese policy text is about, paragraph by paragraph, with calibrated probabilities",
    skip: "Skip to the content",
    views: "Views",
    tab_read: "Read",
    tab_queue: "To label",
    tab_queue_count: "To label {count}",
    other_language: "中文",
    text_label: "Text",
    text_placeholder: "Paste minutes, a government work report, a policy document…",
    choose_file: "Choose a file",
    formats: "or drop one here: TXT, HTML, DOCX, PDF",
    chosen: "Chosen file: {name} ({size})",
    unchoose: "Paste text instead",
    one_file: "One file at a time; {name} is chosen.",
    send: "Find topics",
    nothing: "Paste a text or choose a file first.",
    pasted: "Pasted text",
    reading: "Reading the file…",
    started: "Started; {characters} character[s].",
    progress: "Progress",
    reached: "{percent} % done, {paragraphs} paragraph[s].",
    counts_running: "{paragraphs} paragraph[s] · {done} of {characters} character[s]",
    counts: "{paragraphs} paragraph[s] · {characters} character[s]",
    counts_dropped: "{paragraphs} paragraph[s] · {characters} character[s] · {dropped} line[s] of page clutter left out",
    finished: "Done: {paragraphs} paragraph[s].",
    cancel: "Cancel",
    cancelled: "Cancelled; {paragraphs} paragraph[s] done so far, on the page.",
    resume: "Go on from there",
    another: "Another text",
    another_sure: "Corrections that are not saved yet will be lost. Go on?",
    waiting: "The service is busy; trying again in {seconds} s.",
    no_text: "There are no words to classify. Scanned pages need text recognition (OCR) first.",
    overview: "Overview",
    mix: "Topics of the document",
    mix_note: "Shares by length; a paragraph may have several topics. Click to filter.",
    mix_table: "Topics of the document",
    mix_label: "Topics of the document; choose one to see only its paragraphs",
    mix_row: "{topic}, {percent}, {count} paragraph[s]",
    topic: "Topic",
    share: "Share",
    paragraph_count: "Paragraphs",
    no_topic: "No topic",
    take: "Take it along",
    copy: "Copy",
    copied: "Copied as a table, for Excel, WPS or Word.",
    copy_failed: "The browser does not allow copying; download it instead.",
    saved_as: "Downloaded {name}.",
    legend: "Legend",
    legend_explain: "Click a paragraph’s topic to mark the words it rests on; hover or focus it for the probability.",
    legend_weak: "Dashed and “weak”: probability under 60 %, worth a look.",
    legend_offset: "The bar at the left has the colour of the main topic.",
    weak: "weak",
    corrected: "corrected",
    paragraphs: "Topics of each paragraph",
    probability: "probability {percent}",
    by_hand: "added by hand",
    filter_text: "Only “{topics}”: {shown} of {all} paragraph[s]",
    filter_or: "” or “",
    filter_clear: "Show all",
    topics_of: "Topics of paragraph {number}",
    explaining: "Leaving out word after word…",
    explained: "Words that “{topic}” rests on ({percent})",
    explained_note:
      "Occlusion: each word is left out in turn and the rest is classified; the figure is by how much the log-odds of the topic fall.",
    explained_none: "No single word matters: without any one of them “{topic}” is about as probable. It rests on the whole.",
    correct: "Correct",
    correct_label: "Correct the topics of paragraph {number}",
    editing: "Correct the topics of paragraph {number}",
    chosen_topics: "Corrected topics (at most {most}, the main one first)",
    main: "main",
    make_main: "Make “{topic}” the main topic",
    remove: "Remove “{topic}”",
    add: "Add a topic",
    add_placeholder: "Type to search…",
    add_full: "There are {most} topics already; remove one to add another.",
    add_none: "No topic matches",
    no_topics_chosen: "No topic",
    added: "Added “{topic}”.",
    removed: "Removed “{topic}”.",
    consent: "I agree that this paragraph is kept to improve the model",
    consent_note:
      "Nothing can be saved without this. What is kept: the text of this paragraph, the model’s topics and probabilities, your topics, the model’s version, the document’s name, the time, and the name of the API key, if one is used. Where: in the database of those who run this service ({host}). It is sent nowhere else.",
    save: "Save",
    save_next: "Save and go on",
    saving: "Saving…",
    saved: "Saved.",
    save_failed: "Not saved; the correction stays on this page.",
    retry: "Try again",
    close: "Close",
    undo: "Back to the model’s topics",
    queue_intro: "These paragraphs are most worth a human eye. Read, correct, save; skip what you are not sure of.",
    queue_place: "Paragraph {place}, {left} left",
    queue_from: "From: {document}",
    queue_model: "The model says",
    skip_item: "Skip",
    queue_done: "That was the last one. Thank you!",
    queue_again: "See the skipped ones again",
    key_label: "API key",
    key_use: "Use it",
    key_note: "This service asks for a key; whoever runs it has one for you. It stays in this tab and goes when you close it.",
    key_characters: "A key has Latin letters, digits and signs only, and no spaces; paste nothing but the key.",
    key_wrong: "The key is wrong or has expired; check it and try again.",
    api: "API description (OpenAPI)",
    model: "Model {name} {version}, taxonomy version {taxonomy}",
    fault: "Something went wrong",
    do_too_large: "This is more than one request may hold. Split it and do the parts one by one.",
    too_large_file: "The file has {size}; the limit is {most}.",
    do_unsupported_type: "Files of this kind cannot be read. Save it as TXT, HTML, DOCX or PDF.",
    do_unreadable_document: "The file cannot be read. See whether it opens and is not encrypted, or save it anew.",
    do_busy: "The service is busy. Try again a little later.",
    do_rate_limited: "Too many requests. Try again a little later.",
    do_not_ready: "The service is not ready yet. Try again a little later.",
    do_timeout: "This took too long. Send less, or try again later.",
    do_internal: "The service failed. Try again; if it fails again, tell whoever runs it.",
    do_network: "The service cannot be reached. Check the network, and whether it is running.",
    network: "There was no answer.",
    do_feedback_off: "This service takes no corrections.",
    do_feedback_unavailable: "Corrections cannot be stored now. Try again a little later.",
    do_other: "The request was not accepted.",
  },
};

let language = initial();

function initial() {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept in STRINGS) return kept;
  } catch {
    // a browser that keeps nothing for pages
  }
  return "zh";
}

export const inUse = () => language;

export function use(chosen) {
  language = chosen;
  try {
    localStorage.setItem(KEPT, chosen);
  } catch {
    // then it is not remembered
  }
}

export const has = key => key in STRINGS.zh;

/**
 * A text. Values for its {places} may be functions, which are asked anew when the language changes. `paragraph[s]` has
 * its s unless 1 stands before it.
 */
export function t(key, values = {}) {
  const said = STRINGS[language][key].replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "function" ? value() : value;
  });
  return said.replace(/(\S+ [a-z]+)\[s\]/g, (_, counted) => (counted.startsWith("1 ") ? counted : `${counted}s`));
}

export const number = value => value.toLocaleString(language === "zh" ? "zh-CN" : "en-GB");

/** 0.9149 → 91 %; small shares keep a digit, and what is not certain is not shown as certain. */
export function percent(value) {
  const hundred = value * 100;
  if (hundred > 99 && value < 1) return "> 99 %";
  return `${hundred > 0 && hundred < 9.95 ? hundred.toFixed(1) : Math.round(hundred)} %`;
}

export function bytes(count) {
  return count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} KB` : `${(count / 1e6).toFixed(1)} MB`;
}
