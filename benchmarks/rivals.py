"""FastAPI around `transformers.pipeline`, as it is commonly written. Started by `benchmarks.servers`."""

from __future__ import annotations

import os
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Request(BaseModel):
    texts: list[str]


def pipeline_app() -> FastAPI:
    """The app; the model is loaded before it answers."""
    torch.set_num_threads(int(os.environ["RIVAL_THREADS"]))
    classify: Any = pipeline("text-classification", os.environ["RIVAL_BUNDLE"], dtype=torch.float32, device="cpu")
    app = FastAPI()

    @app.get("/ready")
    def ready() -> str:
        return "ready"

    @app.post("/classify")
    def answer(request: Request) -> list[Any]:
        found: list[Any] = classify(request.texts, top_k=None, truncation=True)
        return found

    return app
