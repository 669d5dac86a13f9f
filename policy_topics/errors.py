"""What can go wrong, each fault with a stable `code` that the command line and HTTP pass on.

A message names the fault and the fix.
"""

from __future__ import annotations

from typing import ClassVar


def how_to_install(extra: str) -> str:
    """The fix where a package of an extra of pyproject.toml is missing. It names no index: none has this program."""
    pip = f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"
    return f"in the folder of policy-topics: {'make setup-train' if extra == 'train' else pip}"


class PolicyTopicsError(Exception):
    """Root of the faults that a user can do something about."""

    code: ClassVar[str] = "error"


class DocumentError(PolicyTopicsError):
    """A document that cannot be turned into text."""

    code: ClassVar[str] = "unreadable_document"


class UnsupportedDocument(DocumentError):
    """A document of a type that no reader takes."""

    code: ClassVar[str] = "unsupported_type"


class DataError(PolicyTopicsError):
    """Labelled data that cannot be trained on; the message names file and line."""

    code: ClassVar[str] = "bad_data"


class BundleError(PolicyTopicsError):
    """A model bundle that is missing, changed, incomplete or made for something else."""

    code: ClassVar[str] = "bad_bundle"


class RegistryError(PolicyTopicsError):
    """A change of the registry that cannot be made, or a registry that cannot be read."""

    code: ClassVar[str] = "registry"


class FeedbackError(PolicyTopicsError):
    """A store of corrections that cannot be reached, read or written."""

    code: ClassVar[str] = "feedback"


class EngineError(PolicyTopicsError):
    """No engine can run the bundle on this machine."""

    code: ClassVar[str] = "no_engine"


class TrainingError(PolicyTopicsError):
    """A training that cannot start or go on."""

    code: ClassVar[str] = "training"
