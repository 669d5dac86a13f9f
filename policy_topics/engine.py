"""Engines: token ids in, logits out. Three of them behind one small interface, the first that is installed runs.

All read files of the bundle as they are: OpenVINO and ONNX Runtime the quantised `model.onnx`, PyTorch (which serving
does not install) the plain `model.safetensors`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.settings import EngineSettings
from policy_topics.bundle import ONNX_MODEL, Bundle
from policy_topics.errors import EngineError

if TYPE_CHECKING:
    from openvino import CompiledModel, InferRequest

Ids = NDArray[np.int64]
Logits = NDArray[np.float32]

_KERNELS_KEPT = 4096
"""What OpenVINO keeps of what it has prepared: some ten kernels a shape of batch. To prepare for a new shape takes
6 to 10 ms, longer than to run a paragraph; all the shapes that `padded` and `rounded` leave take some 20 MB."""


MOST_STREAMS = 16
"""Python's own part of a batch is a hundredth of it or two, and threads take turns at that."""


class Engine(Protocol):
    """Runs the encoder on one padded batch."""

    @property
    def name(self) -> str:
        """For people: the library and its precision."""
        ...

    @property
    def streams(self) -> int:
        """How many batches must run at once to keep all its threads at work."""
        ...

    def logits(self, ids: Ids, mask: Ids) -> Logits:
        """Token ids and attention mask (1 = token, 0 = padding), both (batch, tokens), to logits (batch, topics)."""
        ...


def load_engine(bundle: Bundle, settings: EngineSettings, streams: int = 1) -> Engine:
    """The engine that the settings ask for; with `auto` the first that is installed.

    With one stream all threads work on one batch, and it is done as soon as can be. With several each has a part of
    the threads: no thread waits for another, which matters where something else needs a core now and then.

    Raises:
        EngineError: it is not installed, or none is.
    """
    kinds = _ENGINES if settings.kind == "auto" else {settings.kind: _ENGINES[settings.kind]}
    for module, build in kinds.items():
        if find_spec(module):
            return build(bundle, engine_threads(settings), streams)
    raise EngineError(
        f"no engine to run the model: {' or '.join(kinds)} must be installed (pip install {next(iter(kinds))})"
    )


def reference_engine(bundle: Bundle) -> Engine:
    """The weights in fp32, by PyTorch on the processor even where there is a GPU: what other precisions are held
    against."""
    return _torch_fp32(bundle, available_cores(), 1)


def engine_threads(settings: EngineSettings) -> int:
    """Threads that the engine has: as many as set, else one for each core."""
    return settings.threads or available_cores()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indexes of inputs that make a batch: alike in length, padding included at most `batch_tokens` tokens.

    The longest come first, so that memory is at its height at once and not after an hour. An input longer than
    `batch_tokens` makes a batch of its own.
    """
    falling = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    while falling:
        room = most_rows(lengths[falling[0]], batch_tokens)
        count = rounded(min(room, len(falling)))
        yield falling[:count]
        del falling[:count]


def batches_of_one_width(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """As `batches`, but each input is padded by its own length alone, whatever others there are."""
    by_width: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_width.setdefault(padded(length), []).append(index)
    for width in sorted(by_width, reverse=True):
        indexes = by_width[width]
        for batch in batches([width] * len(indexes), batch_tokens):
            yield [indexes[each] for each in batch]


def most_rows(longest: int, batch_tokens: int) -> int:
    """How many inputs a batch may have, the longest of which has so many tokens."""
    return rounded(max(1, batch_tokens // padded(longest)))


def rounded(rows: int) -> int:
    """The next number of rows, down from this one, that a batch may have: 1, 2, 3, 4, 6, 8, 12, 16, 24, 32 …

    With `padded` it keeps the shapes few. Two smaller batches take hardly longer than a larger one.
    """
    power = 1 << (rows.bit_length() - 1)
    return power + power // 2 if rows >= power + power // 2 else power


def pad(windows: Sequence[Sequence[int]], pad_id: int) -> tuple[Ids, Ids]:
    """Windows of token ids to the ids and the mask of a batch, both (windows, tokens)."""
    width = padded(max(map(len, windows)))
    ids = np.full((len(windows), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window
        mask[row, : len(window)] = 1
    return ids, mask


def padded(length: int) -> int:
    """How wide a batch is whose longest window has so many tokens: a multiple of 8, over 64 of 16, over 128 of 32."""
    step = 8 if length <= 64 else 16 if length <= 128 else 32
    return -(-length // step) * step


class _OpenVino:
    def __init__(self, model: CompiledModel, precision: str, streams: int) -> None:
        self._model = model
        self._idle: list[InferRequest] = []
        self.name = f"OpenVINO {precision}"
        self.streams = streams
        # What the binding sets up with its first call, two threads at once can wait for for ever: each holds a lock
        # that the other needs (the interpreter's, and that of a C++ static, in pybind11's `npy_api::get`).
        self.logits(np.zeros((1, 8), np.int64), np.ones((1, 8), np.int64))

    def logits(self, ids: Ids, mask: Ids) -> Logits:
        # Threads may call at the same time, each with a request of its own. To make one takes 0.4 ms: they are kept.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        result = np.array(request.infer({"input_ids": ids, "attention_mask": mask})[0], np.float32)
        self._idle.append(request)
        return result


def _openvino(bundle: Bundle, threads: int, streams: int) -> Engine:
    import openvino

    core = openvino.Core()
    options: dict[str, Any] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS_KEPT,
    }
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") and bundle.manifest.precision != "fp32":
        options["INFERENCE_PRECISION_HINT"] = "bf16"
    else:
        options["INFERENCE_PRECISION_HINT"] = "f32"
    model = core.compile_model(str(bundle.path / ONNX_MODEL), "CPU", options)
    return _OpenVino(model, bundle.manifest.precision, streams)


class _OnnxRuntime:
    def __init__(self, session: Any, precision: str, streams: int) -> None:
        self._session = session
        self.name = f"ONNX Runtime {precision}"
        self.streams = streams

    def logits(self, ids: Ids, mask: Ids) -> Logits:
        (result,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return np.asarray(result, np.float32)


def _onnxruntime(bundle: Bundle, threads: int, streams: int) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads // streams)
    file = str(bundle.path / ONNX_MODEL)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return _OnnxRuntime(session, bundle.manifest.precision, streams)


class _Torch:
    def __init__(self, run: Callable[[Any, Any], Any], name: str, device: str, streams: int) -> None:
        self._run = run
        self._device = device
        self.name = name
        self.streams = streams

    def logits(self, ids: Ids, mask: Ids) -> Logits:
        import torch

        with torch.inference_mode():
            out = self._run(torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device))
        logits: Logits = out.float().cpu().numpy()
        return logits


def _torch(bundle: Bundle, threads: int, streams: int) -> Engine:
    import torch
    from transformers import AutoModelForSequenceClassification

    from policy_topics.unpadded import Unpadded, can_run

    if not torch.cuda.is_available():
        return _torch_fp32(bundle, threads, streams)
    model = AutoModelForSequenceClassification.from_pretrained(bundle.path, dtype=torch.bfloat16, local_files_only=True)
    model = model.to("cuda").eval()
    name = "PyTorch bfloat16 on cuda"
    if can_run(model.config):
        return _Torch(Unpadded(model).logits, f"{name}, unpadded", "cuda", 1)
    return _Torch(lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits, name, "cuda", 1)


def _torch_fp32(bundle: Bundle, threads: int, streams: int) -> Engine:
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(max(1, threads // streams))
    model = AutoModelForSequenceClassification.from_pretrained(bundle.path, dtype=torch.float32, local_files_only=True)
    model = model.eval()
    return _Torch(
        lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits, "PyTorch float32 on cpu", "cpu", streams
    )


_ENGINES: dict[str, Callable[[Bundle, int, int], Engine]] = {
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "torch": _torch,
}
