"""Packages that an installation may lack, because only some commands need them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from policy_topics.errors import PolicyTopicsError, how_to_install


def require(modules: Mapping[str, str]) -> None:
    """Refuse where one of these modules is missing; each with the extra of pyproject.toml that brings it.

    Raises:
        PolicyTopicsError: so it is; the message says what to install.
    """
    for module, extra in modules.items():
        if not find_spec(module):
            raise PolicyTopicsError(f"{module} is not installed; {how_to_install(extra)}. 缺少依赖。")
