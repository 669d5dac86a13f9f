"""Tokenise, run, decode: what a text becomes on its way to its topics."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification

from configs.settings import EngineSettings
from configs.taxonomy import MOST_TOPICS
from policy_topics import engine
from policy_topics.classifier import Classifier, pool
from policy_topics.engine import batches, batches_of_one_width, pad, padded
from policy_topics.errors import EngineError
from tests.tiny import MAX_TOKENS, TEXTS

Load = Callable[..., Classifier]


@pytest.fixture(scope="module")
def load(tiny_bundle: Path) -> Load:
    def load(kind: str, streams: int = 1) -> Classifier:
        settings = EngineSettings.model_validate({"kind": kind, "threads": streams, "batch_tokens": 256})
        return Classifier.load(tiny_bundle, settings, streams)

    return load


@pytest.fixture(scope="module")
def classifier(load: Load) -> Classifier:
    return load("auto")


def test_topics_are_those_over_their_thresholds_the_most_probable_first(classifier: Classifier) -> None:
    for prediction in classifier.classify(TEXTS):
        over = prediction.probabilities >= classifier.bundle.calibration.threshold
        given = [topic.probability for topic in prediction.topics]
        assert len(given) == min(over.sum(), MOST_TOPICS)
        assert given == sorted(given, reverse=True)
        assert prediction.primary == (prediction.topics[0].id if given else None)


def test_a_text_has_the_same_answer_whatever_is_beside_it(classifier: Classifier) -> None:
    together = classifier.classify([*TEXTS, "长" * 30, TEXTS[0] * 9])
    alone = [classifier.classify([text])[0] for text in TEXTS]
    for one, other in zip(alone, together, strict=False):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)


def test_what_is_decoded_together_is_decoded_as_alone_to_the_last_bit(classifier: Classifier) -> None:
    tokenised = classifier.tokenise([*TEXTS, "", "".join(TEXTS)] * 9)
    logits = classifier.logits(tokenised)
    alone = [classifier.decode([own], [text])[0] for own, text in zip(logits, tokenised, strict=True)]
    for one, other in zip(alone, classifier.decode(logits, tokenised), strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert (one.topics, one.tokens, one.windows) == (other.topics, other.tokens, other.windows)


def test_dirty_text_is_cleaned_first(classifier: Classifier) -> None:
    dirty, clean = classifier.classify(
        ["會(huì)議強(qiáng)調(diào),要抓好糧食生產(chǎn)。", "会议强调，要抓好粮食生产。"]
    )
    np.testing.assert_array_equal(dirty.probabilities, clean.probabilities)


@pytest.mark.parametrize("text", ["", "   ", "。。。！！", "——", "\x00\x00", "😀😀", "\ud800"])
def test_a_text_without_a_word_has_no_topic(classifier: Classifier, text: str) -> None:
    (prediction,) = classifier.classify([text])
    assert (prediction.topics, prediction.primary, prediction.windows) == ((), None, 0)


@pytest.mark.parametrize("name", ["[CLS]", "[SEP]", "[PAD]", "[MASK]"])
def test_the_name_of_a_special_token_in_a_text_is_text(classifier: Classifier, name: str) -> None:
    plain, named = classifier.tokenise(["会议强调，要抓好粮食生产。", f"会议强调，{name}要抓好粮食生产。"])
    special = classifier._tokeniser._tokenizer.token_to_id(name)
    assert special is not None and special not in named.windows[0][1:-1]
    assert (named.windows[0][0], named.windows[0][-1]) == (plain.windows[0][0], plain.windows[0][-1])


def test_no_texts_have_no_predictions(classifier: Classifier) -> None:
    assert classifier.classify([]) == []


def test_a_long_text_is_read_whole_in_windows_of_sentences(classifier: Classifier) -> None:
    (long,) = classifier.tokenise(["".join(TEXTS)])
    assert len(long.windows) > 1
    assert all(len(window) <= MAX_TOKENS for window in long.windows)
    inner = [token for window in long.windows for token in window[1:-1]]
    sentences = classifier.tokenise(TEXTS)
    assert inner == [token for sentence in sentences for window in sentence.windows for token in window[1:-1]]


def test_a_sentence_longer_than_a_window_is_cut_and_nothing_lost(classifier: Classifier) -> None:
    (text,) = classifier.tokenise(["粮" * 1000])
    assert sum(len(window) - 2 for window in text.windows) >= 1000 / 8
    assert all(len(window) <= MAX_TOKENS for window in text.windows)


def test_a_long_text_carries_what_any_window_carries() -> None:
    assert pool(np.array([[1, -2], [-3, 4]], np.float32)).tolist() == [1, 4]


def test_all_engines_agree_with_plain_transformers(load: Load, tiny_bundle: Path) -> None:
    import torch

    tokenised = load("torch").tokenise(TEXTS)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bundle).eval()
    with torch.no_grad():
        plain = [model(torch.tensor([text.windows[0]])).logits[0].numpy() for text in tokenised]
    for kind in ("openvino", "onnxruntime", "torch"):
        logits = load(kind).run([text.windows[0] for text in tokenised])
        np.testing.assert_allclose(logits, plain, atol=1e-3, err_msg=kind)


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime", "torch"])
def test_several_streams_give_what_one_gives(load: Load, kind: str) -> None:
    windows = [text.windows[0] for text in load("torch").tokenise(TEXTS)] * 20
    np.testing.assert_allclose(load(kind, 3).run(windows), load(kind).run(windows), atol=1e-5)


def test_a_fault_in_one_of_several_streams_is_raised(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load("openvino", 2)
    monkeypatch.setattr(classifier.engine, "logits", lambda ids, mask: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier.run([(2, 5, 3)] * 100)


FIRST_CALLS = """
import os, sys, threading
import numpy as np
from pathlib import Path
from configs.settings import load_settings
from policy_topics.bundle import load_bundle
from policy_topics.engine import load_engine
sys.setswitchinterval(1e-6)
engine = load_engine(load_bundle(Path(sys.argv[1])), load_settings(None, {"engine.kind": "openvino"}).engine, 2)
ids, together = np.ones((2, 8), np.int64), threading.Barrier(8)
def call():
    together.wait()
    engine.logits(ids, ids)
threads = [threading.Thread(target=call, daemon=True) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os._exit(0)
"""


def test_first_calls_from_several_threads_at_once_do_not_lock_each_other(tiny_bundle: Path) -> None:
    for _ in range(4):  # where they can, they do in every second process
        subprocess.run([sys.executable, "-c", FIRST_CALLS, tiny_bundle], check=True, timeout=60)


def test_no_engine_says_what_to_install(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="pip install openvino"):
        load("auto")


def test_batches_hold_every_text_once_within_the_budget() -> None:
    lengths = [5, 300, 17, 64, 64, 8, 1, 120]
    made = list(batches(lengths, 128))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        width = pad([[0] * lengths[i] for i in batch], 0)[0].shape[1]
        assert len(batch) == 1 or len(batch) * width <= 128


def test_batches_of_one_width_pad_no_text_for_the_sake_of_another() -> None:
    lengths = [5, 300, 17, 64, 64, 8, 1, 120] * 9
    made = list(batches_of_one_width(lengths, 256))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    assert all(len({padded(lengths[i]) for i in batch}) == 1 for batch in made)
    assert max(map(len, made)) > 1


def test_padding_is_masked() -> None:
    ids, mask = pad([[7, 8], [9]], pad_id=3)
    assert ids.shape == mask.shape
    assert ids[1, 0] == 9
    assert set(ids[1, 1:].tolist()) == {3}
    assert mask.sum(axis=1).tolist() == [2, 1]
