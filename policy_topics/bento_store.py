"""Bundles as BentoML models: how they are listed, and how one is made without ever being half there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from configs.tracking import switch_off_tracking
from policy_topics.bundle import MANIFEST, Bundle, load_bundle
from policy_topics.durable import sync
from policy_topics.errors import RegistryError

if TYPE_CHECKING:
    from bentoml import Model
    from bentoml._internal.models import ModelStore

MODEL = "policy_topics"
"""Name of the one BentoML model; bundles are versions of it. Their own names may have signs that BentoML refuses."""


def models(store: Path) -> list[Model]:
    """The versions in a store, the oldest first.

    Raises:
        RegistryError: they cannot be read.
    """
    switch_off_tracking()
    import bentoml.models
    from bentoml.exceptions import BentoMLException

    try:
        found = bentoml.models.list(MODEL, _model_store=_model_store(store))
    except BentoMLException as fault:
        raise RegistryError(
            f"{store / MODEL}: {fault} A folder there is not whole (the registry leaves none like that, "
            "but a `bentoml models delete` that was cut off does); remove it"
        ) from None
    return sorted(found, key=lambda model: model.creation_time)


def stage(bundle: Bundle, folder: Path) -> Path:
    """The BentoML model of a bundle, whole and on the disk, in a folder beside the store that it shall be moved to.

    BentoML writes a model in place, and where that is cut off its whole store cannot be listed any more. So it
    writes into a store of its own, and without the bundle's files: those it would copy twice, by way of /tmp.
    """
    switch_off_tracking()
    import bentoml.models

    manifest = bundle.manifest
    about = {"name": manifest.name, "parent": manifest.parent or "", "taxonomy": manifest.taxonomy}
    with bentoml.models.create(f"{MODEL}:{bundle.version}", metadata=about, _model_store=_model_store(folder)):
        pass
    staged = folder / MODEL / bundle.version
    shutil.copymode(folder, staged)  # BentoML makes it with mkdtemp, for this user alone; others may have to serve it
    for name in (*manifest.files, MANIFEST):
        target = staged / "bundle" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, target)
        target.chmod(0o444)
    load_bundle(staged / "bundle")
    for path in (*staged.rglob("*"), staged):
        sync(path)
    return staged


def _model_store(folder: Path) -> ModelStore:
    """BentoML's store in a folder of ours. Its public way to say where, BENTOML_HOME, is one for the whole process."""
    from bentoml._internal.models import ModelStore

    return ModelStore(folder)
