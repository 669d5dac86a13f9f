"""The gate: whether a new bundle may take the place of the one that serves, and the figures that say so.

Both are judged as they serve, on the same frozen paragraphs, by the topics that both know. What may be worse by chance
alone does not count against the new one; see the constants for how much else does not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import numpy as np

from configs.settings import Settings, resolve
from configs.taxonomy import Taxonomy
from policy_topics.classifier import Classifier
from policy_topics.errors import TrainingError
from train.behaviour import Trial, read_trials, run
from train.bootstrap import (
    Interval,
    paired_bootstrap,
    paired_bootstrap_of_calibration,
    paired_bootstrap_of_topics,
)
from train.dataset import LabelledParagraph
from train.evaluate import Judgement, documents, served
from train.export import label_matrix
from train.metrics import Metrics, measure
from train.verdict import Rule, Verdict

TOPIC_FALL = 0.03
"""F1 that a topic may surely lose: refused where the whole 95 % interval of its difference lies below."""
ECE_RISE = 0.002
"""The same for the calibration error over all pairs: about half of what a good bundle has."""
SLOWNESS = 1.3
"""Times as long that it may take. Machines are noisy, and what matters is a bundle of another size."""
BEHAVIOUR_FALL = 0.05
"""Share of the behaviour tests of one kind that it may fail more than the one that serves: one in twenty."""

FEWEST_DOCUMENTS = 5
"""That must carry a topic for its F1 to be measured: drawn from fewer, an interval says too little to refuse by."""

_TIMED = 100
_ROUNDS = 9


def judge(candidate: Path, incumbent: Path, rows: Sequence[LabelledParagraph], settings: Settings) -> Verdict:
    """Hold the candidate against the incumbent.

    Args:
        candidate, incumbent: folders of bundles.
        rows: labelled paragraphs that neither was trained on, with topics of the candidate's taxonomy.

    Raises:
        DataError: no rows, or behaviour tests that cannot be read or name a topic that neither bundle knows.
        BundleError: one of the bundles cannot be used.
    """
    ours, theirs = (Classifier.load(bundle, settings.engine) for bundle in (candidate, incumbent))
    ids, before = ours.bundle.taxonomy.ids, theirs.bundle.taxonomy.ids
    trials = behaviour_tests(settings, ours.bundle.taxonomy, theirs.bundle.taxonomy)
    shared = tuple(topic for topic in ids if topic in before)
    if not shared:
        raise TrainingError(f"{candidate} and {incumbent} have no topic in common; there is nothing to compare")
    judged = [served(each, rows)[0] for each in (ours, theirs)]
    carried = label_matrix(rows, ours.bundle.taxonomy)
    alone = measure(judged[0].probabilities, judged[0].given, carried, ids)
    labels, groups = carried[:, [ids.index(topic) for topic in shared]], documents(rows)
    new, old = _only(judged[0], ids, shared), _only(judged[1], before, shared)
    macro = paired_bootstrap(new.given, old.given, labels, groups).macro_f1
    enough = {topic: len(np.unique(groups[c])) >= FEWEST_DOCUMENTS for topic, c in zip(ids, carried.T, strict=True)}
    measured = [enough[topic] for topic in shared]
    of_topics = paired_bootstrap_of_topics(new.given[:, measured], old.given[:, measured], labels[:, measured], groups)
    topics = dict(zip(compress(shared, measured), of_topics, strict=True))
    ece = paired_bootstrap_of_calibration(new.probabilities, old.probabilities, labels, groups)
    seconds = _seconds(ours, theirs, [row.text for row in rows])
    tried = [trial for trial in trials if set(trial.topics) <= set(shared)]
    behaviour, failed = _behaviour(ours, theirs, tried, shared)
    metrics = [measure(each.probabilities, each.given, labels, shared) for each in (new, old)]
    rules = (_macro(macro, *metrics), _topics(topics), _ece(ece, *metrics), _speed(*seconds), *behaviour)
    return Verdict(
        passed=all(rule.passed for rule in rules),
        candidate=ours.bundle.version,
        candidate_name=ours.bundle.name,
        incumbent=theirs.bundle.version,
        incumbent_name=theirs.bundle.name,
        paragraphs=len(rows),
        documents=int(groups.max()) + 1,
        rules=rules,
        macro_f1=macro,
        ece=ece,
        topics=topics,
        seconds=seconds,
        behaviour_failed=tuple(failed),
        behaviour_skipped=tuple(trial.name for trial in trials if trial not in tried),
        new_topics={topic: alone.topics[topic] for topic in ids if topic not in before},
        lost_topics=tuple(topic for topic in before if topic not in ids),
        unmeasured_topics=tuple(topic for topic in ids if not enough[topic]),
    )


def behaviour_tests(settings: Settings, *known: Taxonomy) -> list[Trial]:
    """Those that bundles of these taxonomies are tried with.

    Raises:
        DataError: as `read_trials`; a topic that no taxonomy has is such a fault.
    """
    return read_trials(map(resolve, settings.data.behaviour_files), {topic for each in known for topic in each.ids})


def _only(judged: Judgement, ids: tuple[str, ...], kept: tuple[str, ...]) -> Judgement:
    columns = [ids.index(topic) for topic in kept]
    return Judgement(judged.probabilities[:, columns], judged.given[:, columns])


def _macro(difference: Interval, new: Metrics, old: Metrics) -> Rule:
    return Rule(
        name="macro-F1",
        passed=difference.high >= 0,
        demand="不肯定变差 not surely worse",
        incumbent=f"{old.macro_f1:.4f}",
        candidate=f"{new.macro_f1:.4f}",
        found=_interval(difference),
    )


def _topics(differences: dict[str, Interval]) -> Rule:
    fallen = {topic: each for topic, each in differences.items() if each.high < -TOPIC_FALL}
    worst = sorted(differences.items(), key=lambda pair: pair[1].high)[: max(len(fallen), 1)]
    return Rule(
        name="F1 of each topic 各主题 F1",
        passed=not fallen,
        demand=f"无一肯定下降超过 none surely down by more than {TOPIC_FALL}",
        incumbent="",
        candidate=f"{len(fallen)} of {len(differences)} down",
        found="; ".join(f"{topic} {_interval(each)}" for topic, each in worst),
    )


def _ece(difference: Interval, new: Metrics, old: Metrics) -> Rule:
    return Rule(
        name="ECE 校准误差",
        passed=difference.low <= ECE_RISE,
        demand=f"不肯定上升超过 not surely up by more than {ECE_RISE}",
        incumbent=f"{old.ece:.4f}",
        candidate=f"{new.ece:.4f}",
        found=_interval(difference),
    )


def _speed(ours: float, theirs: float) -> Rule:
    return Rule(
        name="time 耗时",
        passed=ours <= SLOWNESS * theirs,
        demand=f"至多 at most {SLOWNESS} ×",
        incumbent=f"{1000 * theirs:.1f} ms",
        candidate=f"{1000 * ours:.1f} ms",
        found=f"{ours / theirs:.2f} ×",
    )


def _behaviour(
    ours: Classifier, theirs: Classifier, trials: Sequence[Trial], shared: tuple[str, ...]
) -> tuple[list[Rule], list[str]]:
    """A rule for each kind of trial, and the names of those that only the incumbent passes."""
    passed = [run(classifier, trials, shared) for classifier in (ours, theirs)]
    of_kind = Counter(trial.kind for trial in trials)
    held = [Counter(t.kind for t, holds in zip(trials, each, strict=True) if holds) for each in passed]
    rules = [
        Rule(
            name=f"behaviour 行为: {kind}",
            passed=held[1][kind] - held[0][kind] <= BEHAVIOUR_FALL * size,
            demand=f"少通过至多 at most {BEHAVIOUR_FALL:.0%} fewer",
            incumbent=f"{held[1][kind]} of {size}",
            candidate=f"{held[0][kind]} of {size}",
            found=f"{held[0][kind] - held[1][kind]:+d}",
        )
        for kind, size in of_kind.items()
    ]
    lost = [trial.name for trial, now, before in zip(trials, *passed, strict=True) if before and not now]
    return rules, lost


def _seconds(ours: Classifier, theirs: Classifier, texts: Sequence[str]) -> tuple[float, float]:
    """Processor time that the same texts take each: the least of a few rounds in turn. What else the machine does has
    less of a part in that than in the time that passes."""
    sample = list(texts[:: -(-len(texts) // _TIMED)])
    for classifier in (ours, theirs):  # engines prepare for each shape of batch when they first meet it
        classifier.classify(sample)
    taken = np.array([[_time(classifier, sample) for classifier in (ours, theirs)] for _ in range(_ROUNDS)])
    least = taken.min(axis=0)
    return float(least[0]), float(least[1])


def _time(classifier: Classifier, texts: Sequence[str]) -> float:
    start = time.process_time()
    classifier.classify(texts)
    return time.process_time() - start


def _interval(difference: Interval) -> str:
    return f"{difference.point:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
