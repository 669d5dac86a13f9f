"""A head grows with the taxonomy: topics keep what was learnt of them, by id, wherever they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from configs.settings import load_settings
from configs.taxonomy import Taxonomy, Topic, load_taxonomy
from policy_topics.bundle import load_bundle
from policy_topics.errors import TrainingError
from tests import tiny
from train.backbone import open_backbone
from train.pipeline import _compare_topics
from train.training_data import TrainingData

TAXONOMY = load_taxonomy()
DRONES = Topic(id="low_altitude", zh="低空经济", en="Low-altitude economy", define="无人机、通用航空",
                 **{"not": "民航归 transport"}, cap=(10,), gov=None)  # fmt: skip
"""A topic that no model knows."""


def taxonomy_of(*topics: Topic, version: int = 2) -> Taxonomy:
    return Taxonomy(version=version, topics=topics)


def opened(backbone: Path, taxonomy: Taxonomy, start_share: float = 0.0) -> tuple[Any, Any]:
    flags = {"finetune.backbone": str(backbone), "finetune.dropout": 0.0, "finetune.start_share": start_share}
    return open_backbone(load_settings(flags=flags).finetune, taxonomy)


def head(backbone: Path, taxonomy: Taxonomy) -> torch.nn.Linear:
    torch.manual_seed(1)
    _, model = opened(backbone, taxonomy)
    assert model.config.num_labels == len(taxonomy.ids)
    assert tuple(model.config.id2label.values()) == taxonomy.ids
    layer: torch.nn.Linear = model.classifier
    assert (layer.out_features, len(layer.bias)) == (len(taxonomy.ids), len(taxonomy.ids))
    return layer


@pytest.fixture(scope="module", params=[False, True], ids=["modernbert", "bert"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_backbone(tmp_path_factory.mktemp("backbone") / "tiny", plain_bert=request.param)


def test_the_same_topics_keep_the_whole_head(backbone: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    before = AutoModelForSequenceClassification.from_pretrained(backbone).classifier
    now = head(backbone, TAXONOMY)
    assert torch.equal(now.weight, before.weight)
    assert torch.equal(now.bias, before.bias)


def test_a_new_topic_gets_a_row_of_its_own_and_the_others_keep_theirs(backbone: Path) -> None:
    before = head(backbone, TAXONOMY)
    now = head(backbone, taxonomy_of(*TAXONOMY.topics[:5], DRONES, *TAXONOMY.topics[5:]))
    assert torch.equal(torch.cat([now.weight[:5], now.weight[6:]]), before.weight)
    assert now.weight[5].abs().max() > 0
    assert not any(torch.equal(now.weight[5], row) for row in before.weight)


def test_topics_that_move_or_go_take_their_rows_along(backbone: Path) -> None:
    before = head(backbone, TAXONOMY)
    now = head(backbone, taxonomy_of(*reversed(TAXONOMY.topics[3:10])))
    assert torch.equal(now.weight, before.weight[3:10].flip(0))
    assert torch.equal(now.bias, before.bias[3:10].flip(0))


def test_a_grown_model_answers_as_before_on_the_topics_that_it_knew(backbone: Path) -> None:
    _, old = opened(backbone, TAXONOMY)
    tokenizer, new = opened(backbone, taxonomy_of(DRONES, *TAXONOMY.topics))
    encoded = tokenizer(tiny.TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        assert torch.allclose(new.eval()(**encoded).logits[:, 1:], old.eval()(**encoded).logits, atol=1e-6)


def test_a_grown_model_is_read_back_as_it_was_saved(backbone: Path, tmp_path: Path) -> None:
    grown = taxonomy_of(*TAXONOMY.topics, DRONES)
    tokenizer, model = opened(backbone, grown)
    model.save_pretrained(tmp_path / "grown")
    tokenizer.save_pretrained(tmp_path / "grown")
    assert torch.equal(head(tmp_path / "grown", grown).weight, model.classifier.weight)


def test_other_topics_under_the_same_version_are_refused_and_new_ones_are_counted(tiny_bundle: Path) -> None:
    parent, nothing, said = load_bundle(tiny_bundle), TrainingData([], {"dev": [], "test": []}, []), list[str]()
    with pytest.raises(TrainingError, match="raise `version`"):
        _compare_topics(parent, taxonomy_of(*TAXONOMY.topics, DRONES, version=1), nothing, said.append)
    _compare_topics(parent, taxonomy_of(*TAXONOMY.topics[1:], DRONES), nothing, said.append)
    assert said == [
        "new topic low_altitude: 0 to train on, 0 dev, 0 test",
        f"topics that are no more: {TAXONOMY.ids[0]}",
    ]


def test_weights_are_kept_of_a_model_that_knows_all_topics_only(backbone: Path) -> None:
    opened(backbone, TAXONOMY, start_share=0.5)
    with pytest.raises(TrainingError, match=r"no weights for the topics low_altitude; .*set it to 0"):
        opened(backbone, taxonomy_of(*TAXONOMY.topics, DRONES), start_share=0.5)
