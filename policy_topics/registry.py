"""The registry: bundles by version in BentoML's model store, which of them is promoted, and how that came to be.

    <folder>/models/policy_topics/<version>/   a BentoML model: its model.yaml, and the bundle in bundle/
    <folder>/promotions.json                   every promotion and rollback; what they come to is what serves

A change is one rename, under a lock. Whatever cuts it off, even in the middle, leaves the registry as it was or as it
should be. Reading takes no lock and, but for `versions`, no BentoML.

`BENTOML_HOME=<folder> bentoml models list` shows the same models. Deleting one there is fine unless it is promoted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from configs.settings import EMBEDDED, Settings, resolve
from configs.taxonomy import TaxonomyError, load_taxonomy
from policy_topics.bento_store import MODEL, models, stage
from policy_topics.bundle import Bundle, load_bundle
from policy_topics.durable import locked, sync
from policy_topics.errors import BundleError, RegistryError
from policy_topics.promotions import Mark, Promotion, Promotions


@dataclass(frozen=True, slots=True)
class Entry:
    """A version in the registry.

    Attributes:
        created: when it came into the registry.
        parent: version that its training started from, if any.
        path: folder of the bundle.
    """

    version: str
    name: str
    created: datetime
    parent: str | None
    promoted: bool
    path: Path


class Registry:
    """Versions of the bundle in a folder, which need not be there yet.

    Args:
        folder: of the registry.
        default: the bundle that serves while no version is promoted.
    """

    def __init__(self, folder: Path, default: Path | None = None) -> None:
        self.folder = folder
        self._default = default
        self._store = folder / "models"
        self._adding = folder / ".adding"
        self._promotions = Promotions(folder / "promotions.json")

    def add(self, bundle: Path) -> str:
        """Copy a bundle into the registry, for good, and return its version.

        One that is there already is left alone, unless it is damaged: then the whole one takes its place.

        Raises:
            BundleError: the bundle cannot be used.
            RegistryError: it cannot be written.
        """
        opened = load_bundle(bundle)
        place = self._place(opened.version)
        with self._changing():
            if not _holds(place / "bundle", opened.version):
                try:
                    shutil.rmtree(self._adding, ignore_errors=True)  # of a process that was killed here
                    self._adding.mkdir()
                    staged = stage(opened, self._adding)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if place.exists():  # and does not load: cut off behind this, it is not there instead
                        place.rename(self._adding / "damaged")
                    staged.rename(place)
                    sync(place.parent)
                finally:
                    shutil.rmtree(self._adding, ignore_errors=True)
        return opened.version

    def versions(self) -> list[Entry]:
        """What is in the registry, the oldest first.

        Raises:
            RegistryError: it cannot be read.
        """
        if not self._ids():
            return []
        promoted = self._promotions.standing()[-1:]
        return [
            Entry(
                version=str(model.tag.version),
                name=str(model.info.metadata["name"]),
                created=model.creation_time,
                parent=str(model.info.metadata["parent"]) or None,
                promoted=[model.tag.version] == promoted,
                path=self._place(str(model.tag.version)) / "bundle",
            )
            for model in models(self._store)
        ]

    def __contains__(self, version: str) -> bool:
        return version in self._ids()

    def find(self, prefix: str) -> str:
        """The version that begins like this.

        Raises:
            RegistryError: none does, or several do.
        """
        known = self._ids()
        matches = [version for version in known if prefix and version.startswith(prefix)]
        if not matches:
            raise RegistryError(
                f"{prefix or '(empty)'}: no such version in the registry {self.folder}; "
                f"it has {', '.join(known) or 'none yet'}"
            )
        if len(matches) > 1 and prefix not in known:
            raise RegistryError(f"{prefix}: {len(matches)} versions begin so: {', '.join(matches)}; write more of it")
        return matches[0]

    def path(self, version: str) -> Path:
        """Folder of the bundle of a version, or of the one that begins like this.

        Raises:
            RegistryError: as `find`.
        """
        return self._place(self.find(version)) / "bundle"

    def promote(self, version: str, *, force: bool = False) -> str:
        """Make a version, or the one that begins like this, the one that serves; return it in full.

        Promoting what is promoted leaves the history as it is, but has services that run load it again.

        Args:
            force: also if it does not know all the topics of what serves now.

        Raises:
            RegistryError: no such version, topics would be lost, or the change cannot be written.
            BundleError: its bundle cannot be used.
        """
        with self._changing():
            candidate = load_bundle(self.path(version))
            if not force:
                self._refuse_to_lose_topics(candidate)
            self._promotions.promote(candidate.version)
        return candidate.version

    def rollback(self) -> str:
        """Go back to what served before the promoted version; return the version that serves from now on.

        Once more, and it goes back one more; in the end to the default bundle, with nothing promoted.

        Raises:
            RegistryError: there is nothing to go back to, or the change cannot be written.
            BundleError: what served before can be used no more.
        """
        with self._changing():
            standing = self._promotions.standing()
            if not standing:
                raise RegistryError(f"nothing to roll back to: no version of the registry {self.folder} is promoted")
            path = self.path(standing[-2]) if len(standing) > 1 else self._default
            if path is None:
                raise RegistryError(f"nothing to roll back to: {standing[-1]} is the first that was promoted")
            back = load_bundle(path)
            self._promotions.rollback()
        return back.version

    def promoted(self) -> Path | None:
        """Folder of the bundle of the promoted version, if one is promoted.

        Raises:
            RegistryError: the registry cannot be read, or the promoted version is not in it any more.
        """
        standing = self._promotions.standing()
        if not standing:
            return None
        path = self._place(standing[-1]) / "bundle"
        if not path.is_dir():
            raise RegistryError(
                f"version {standing[-1]} is promoted, but {path} is gone; "
                "put it back, or promote another with `policy-topics models promote`"
            )
        return path

    def history(self) -> tuple[Promotion, ...]:
        """Every promotion and rollback, the first one first.

        Raises:
            RegistryError: the file that holds them cannot be read.
        """
        return self._promotions.history()

    def has_served(self, version: str) -> bool:
        """Whether a version is or was promoted."""
        return any(change.version == version for change in self.history())

    def mark(self) -> Mark:
        """Another one after every promotion and rollback; costs one look at a file's date."""
        return self._promotions.mark()

    def _place(self, version: str) -> Path:
        return self._store / MODEL / version

    def _ids(self) -> list[str]:
        place = self._store / MODEL
        return sorted(folder.name for folder in place.iterdir() if folder.is_dir()) if place.is_dir() else []

    def _refuse_to_lose_topics(self, candidate: Bundle) -> None:
        try:
            serving = self.promoted() or self._default
            known = load_taxonomy(serving / "topics.yaml").ids if serving else ()
        except (RegistryError, TaxonomyError):
            return  # what serves now is broken: promoting another is the way out
        if lost := [topic for topic in known if topic not in candidate.taxonomy.ids]:
            raise RegistryError(
                f"{candidate.version}: does not know {len(lost)} topics that the bundle that serves now gives: "
                f"{', '.join(lost)}; promote it with --force if they shall be given up"
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep others from changing the registry; say what can be done where it cannot be written."""
        try:
            with locked(self.folder):
                yield
        except OSError as fault:
            raise RegistryError(
                f"{self.folder}: cannot be written: {fault.strerror or fault}; nothing has changed. Make room on the "
                "disk, or let this user write there, and do it again"
            ) from fault


def open_registry(settings: Settings) -> Registry:
    """The registry of the settings.

    Raises:
        RegistryError: they name none.
    """
    if settings.registry is None:
        raise RegistryError("there is no registry (`registry` is null); set `registry` to a folder, which may be new")
    return Registry(resolve(settings.registry), EMBEDDED)


def served_bundle(settings: Settings) -> Path:
    """Folder of the bundle that classifies: that of the setting `bundle`, else the promoted one, else the embedded one.

    Raises:
        RegistryError: the registry cannot be read.
    """
    if settings.bundle is not None:
        return resolve(settings.bundle)
    promoted = open_registry(settings).promoted() if settings.registry else None
    return promoted or EMBEDDED


def promotion_mark(settings: Settings) -> Mark:
    """Another one after every promotion and rollback: `served_bundle` may be another then."""
    return open_registry(settings).mark() if settings.registry and settings.bundle is None else None


def _holds(folder: Path, version: str) -> bool:
    """Whether the bundle of this version is there, and whole."""
    try:
        return load_bundle(folder).version == version
    except BundleError:
        return False
