"""What labelling tools make of a paragraph: Label Studio, doccano, Argilla.

Forms, as the tools write them: Label Studio's task format (labelstud.io/guide/task_format), doccano's JSONL of a text
classification project, Argilla's `Record.to_dict` (2.x) and its feedback records (1.x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from train.formats.records import Record, Votes

_NOBODY = "nobody has labelled it; label it in the tool, or leave it out of the export"

_ASIDE = {"textarea", "rating", "number", "datetime"}
"""What Label Studio asks beside the choices; any other part may be where the topics are."""


def unpack(place: str, value: Any, stem: str) -> tuple[str, Record]:
    """The tool's name, empty where it is plain JSON, and the record.

    Args:
        stem: the file's name, put before the ids of tools: each project counts its own from 1.
    """
    if not isinstance(value, dict):
        return "", Record(place, fault='is no object; write {"text": …, "labels": […]}')
    if isinstance(value.get("data"), dict) and ("annotations" in value or "completions" in value):
        return "Label Studio", _label_studio(place, value, stem)
    if isinstance(value.get("fields"), dict) and ("responses" in value or "suggestions" in value):
        return "Argilla", _argilla(place, value, stem)
    if isinstance(value.get("data"), str) or isinstance(value.get("label"), list) or "Comments" in value:
        return "doccano", _doccano(place, value, stem)
    return "", Record(place, value)


def _label_studio(place: str, task: dict[str, Any], stem: str) -> Record:
    """A column for each group of choices; predictions are a machine's and do not count."""
    annotations = [each for each in task.get("annotations") or task.get("completions") or [] if isinstance(each, dict)]
    answered = [each for each in annotations if not each.get("was_cancelled")]
    if not answered:
        return Record(place, fault="all annotators skipped it" if annotations else _NOBODY)
    answers: list[dict[str, list[Any]]] = []
    aside: set[str] = set()
    for annotation in answered:
        choices: dict[str, list[Any]] = {}
        for part in annotation.get("result") or []:
            if part.get("type") in _ASIDE:
                aside.add(part["type"])
                continue
            if part.get("type") != "choices":
                return Record(place, fault=f"is marked with {part.get('type')!r}; only choices of the whole text count")
            choices.setdefault(str(part.get("from_name")), []).extend(part.get("value", {}).get("choices", []))
        answers.append(choices)
    skipped = len(annotations) - len(answered)
    notes = [f"{skipped} of {len(annotations)} annotators skipped it"] if skipped else []
    if aside:
        notes.append(f"left out beside the choices: {', '.join(sorted(aside))}")
    if not any(choice for choices in answers for choice in choices.values()):
        notes.append("was submitted without a choice, which counts as no topic; was it looked at?")
    fields = {**_with_id(task, stem), **task["data"], **_by_question(answers)}
    return Record(place, fields, _nothing(answers), tuple(notes))


def _argilla(place: str, record: dict[str, Any], stem: str) -> Record:
    """A column for each question. Suggestions are a machine's until someone has confirmed them."""
    responses = record.get("responses") or []
    if isinstance(responses, dict):  # 2.x: by question, then by user
        per_user: dict[Any, dict[str, Any]] = {}
        for question, given in responses.items():
            for number, each in enumerate(given):
                per_user.setdefault(each.get("user_id") or number, {"values": {}})["values"][question] = each
        responses = list(per_user.values())
    submitted = [each for each in responses if each.get("status", "submitted") == "submitted"]
    if not submitted:
        return Record(place, fault="has only suggestions; confirm them first" if record.get("suggestions") else _NOBODY)
    answers = [
        {question: _listed(each.get("value")) for question, each in (response.get("values") or {}).items()}
        for response in submitted
    ]
    fields = {**(record.get("metadata") or {}), **_with_id(record, stem), **record["fields"], **_by_question(answers)}
    dropped = len(responses) - len(submitted)
    notes = (f"{dropped} of {len(responses)} responses are drafts or discarded",) if dropped else ()
    return Record(place, fields, _nothing(answers), notes)


def _doccano(place: str, record: dict[str, Any], stem: str) -> Record:
    labels = record.get("label", record.get("labels"))
    if isinstance(labels, list) and any(isinstance(label, list | dict) for label in labels):
        return Record(place, fault="marks pieces of the text; only labels of the whole text count")
    rest = {key: value for key, value in record.items() if key not in {"data", "label", "Comments"}}
    text = record.get("text", record.get("data"))
    notes = () if labels else ("carries no label in doccano, which keeps those too that nobody has looked at",)
    return Record(place, {**rest, **_with_id(record, stem), "text": text, "labels": labels}, notes=notes)


def _by_question(answers: Sequence[dict[str, list[Any]]]) -> dict[str, Votes]:
    questions = dict.fromkeys(question for answer in answers for question in answer)
    return {question: Votes(tuple(answer.get(question, []) for answer in answers)) for question in questions}


def _nothing(answers: Sequence[Any]) -> Votes:
    return Votes(tuple([] for _ in answers))


def _with_id(record: dict[str, Any], stem: str) -> dict[str, str]:
    return {"id": f"{stem}-{record['id']}"} if record.get("id") is not None else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
