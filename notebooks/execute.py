"""Execute the notebooks: `python -m notebooks.execute` writes their outputs anew, for those who read and do not run."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent
SECONDS = 600
"""For a cell, and for the start of the kernel: machines are busy."""
_COLOURS = 64


def executed(file: Path, *more: str) -> NotebookNode:
    """A notebook with its outputs, run in its own folder by this Python; the file stays as it is.

    Args:
        more: cells of code to run behind its own.

    Raises:
        CellExecutionError: a cell fails; the message has the cell and the traceback.
    """
    notebook = nbformat.read(file, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        startup_timeout=SECONDS,
        coalesce_streams=True,
        record_timing=False,  # would make each run another file
        resources={"metadata": {"path": str(file.parent)}},
    )
    # The advice of tqdm and rich to install widgets is none for a program.
    return client.execute(env=os.environ | {"PYTHONWARNINGS": "ignore:IProgress,ignore:install"})


def shrink_pictures(notebook: NotebookNode) -> None:
    """Leave a third of their bytes, for the outputs are kept in the repository.

    A PNG gets a palette; an SVG one line, for a notebook has each line as a string of its own.
    """
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        if "image/png" in data:
            data["image/png"] = base64.b64encode(_with_palette(base64.b64decode(data["image/png"]))).decode()
        if "image/svg+xml" in data:
            data["image/svg+xml"] = " ".join(data["image/svg+xml"].split())


def _with_palette(png: bytes) -> bytes:
    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    picture.save(small, "png", optimize=True)
    return small.getvalue()


def main() -> None:
    for file in sorted(FOLDER.glob("*.ipynb")):
        print(file.name, flush=True)
        notebook = executed(file)
        shrink_pictures(notebook)
        nbformat.write(notebook, file)


if __name__ == "__main__":
    main()
