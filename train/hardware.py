"""Which device trains, in which precision, and what the libraries say meanwhile."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import datasets
import torch
import transformers


@cache
def device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast() -> AbstractContextManager[None]:
    """bf16 where the hardware has it, fp32 elsewhere."""
    return torch.autocast(device().type, torch.bfloat16, enabled=has_bf16())


@cache
def has_bf16() -> bool:
    """Whether bf16 is quicker than fp32 here: as a GPU says of itself, with AVX-512 BF16 on a CPU."""
    if device().type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported()


def quiet() -> None:
    """No bars for what takes a moment, and no table of the weights that a new head does not have."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
