"""The page: a few static files, served as they stand; a browser needs nothing else and no other host."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from serve.problems import not_found

FOLDER = Path(__file__).with_name("page")

MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""By ending; not by what this machine thinks of endings: a browser runs no module that is served as something else."""


def page(_: Request) -> Response:
    """The page itself."""
    return _file(FOLDER / "index.html")


def page_file(request: Request) -> Response:
    """A file of the page. Names are looked up and not joined, so none leads out of the folder."""
    for file in FOLDER.iterdir():
        if file.name == request.path_params["file"] and file.suffix in MEDIA_TYPES:
            return _file(file)
    raise not_found(request)


def _file(file: Path) -> Response:
    """Whole, whatever `Range` asks for: the files are small, and errors of `FileResponse` have a form of their own."""
    return Response(file.read_bytes(), media_type=MEDIA_TYPES[file.suffix])
