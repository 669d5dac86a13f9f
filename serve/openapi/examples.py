"""Examples in the OpenAPI document: what a client sends, and what it gets."""

from __future__ import annotations

OPTIONS = {"top_k": 3, "threshold": 0.3, "crosswalk": True}
MODEL = {"name": "default", "version": "1", "taxonomy": 1}
TOPIC = {
    "id": "employment",
    "name": "就业与社会保障",
    "probability": 0.9549,
    "cap": [5, 13],
    "gov": "劳动、人事、监察",
}
TEXT = "要把稳就业摆在突出位置，支持高校毕业生到基层就业。"
CLASSIFY = {"items": [{"id": "2024-17", "text": TEXT}], "options": OPTIONS}
CLASSIFIED = {
    "model": MODEL,
    "results": [{"id": "2024-17", "topics": [TOPIC], "primary": TOPIC["id"], "tokens": 14, "windows": 1}],
}
DOCUMENT = {"name": "会议纪要", "text": f"{TEXT}\n打印本页", "options": {"crosswalk": True}}
DOCUMENT_CLASSIFIED = {
    "model": MODEL,
    "document": {"name": "会议纪要", "media_type": "text/plain", "encoding": None, "remarks": []},
    "results": [
        {
            "index": 0,
            "start": 0,
            "end": len(TEXT),
            "text": TEXT,
            "topics": [TOPIC],
            "primary": TOPIC["id"],
            "tokens": 14,
            "windows": 1,
        }
    ],
    "document_topics": [{"id": TOPIC["id"], "name": TOPIC["name"], "share": 1.0}],
    "dropped": ["打印本页"],
}
DOCUMENT_READ = {"document": DOCUMENT_CLASSIFIED["document"], "text": DOCUMENT["text"], "dropped": []}
EXPLAIN = {"text": "稳就业。", "topic": TOPIC["id"]}
EXPLAINED = {
    "model": MODEL,
    "method": "occlusion",
    "topic": TOPIC["id"],
    "probability": 0.9549,
    "spans": [{"start": 0, "end": 1, "weight": 0.4021}, {"start": 1, "end": 3, "weight": 3.1174}],
}
FEEDBACK_ID = "5f0f2a6e-6a0b-4c1e-9d5e-0c3f5b1f7a11"
FEEDBACK = {
    "items": [
        {
            "id": FEEDBACK_ID,
            "text": TEXT,
            "old": [{"id": TOPIC["id"], "probability": TOPIC["probability"]}],
            "new": [TOPIC["id"], "education"],
            "model": MODEL["version"],
            "document": "会议纪要",
        }
    ],
    "consent": True,
}
FEEDBACK_STORED = {"ids": [FEEDBACK_ID]}
