"""What reports share: one page that needs no other file, its pictures inside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, PALE, SECOND = "#1f5fa8", "#a9c4e4", "#c0504d"


def render(template: str, **content: Any) -> str:
    """A template beside this file, as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


@contextmanager
def style() -> Iterator[None]:
    """The look of all pictures; the same picture gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context(
        {"font.size": 9, "svg.hashsalt": "policy-topics", "axes.spines.top": False, "axes.spines.right": False}
    ):
        yield


def figure(width: float, height: float) -> Figure:
    """Without pyplot, whose figures stay in memory and whose backend may want a screen. Inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def url(figure: Figure) -> str:
    """The picture as a data URL for an <img>."""
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode()
