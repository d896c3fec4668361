"""Make torchvision, basicsr, facexlib, gfpgan, realesrgan and lpips importable. Import this before any of them.

Two problems outside this project stand in the way:

- torchvision's Linux wheels on the package index are CUDA builds. Beside a CPU build of torch their compiled operators
  do not load, and the import ends with "operator torchvision::nms does not exist". Once the signatures are declared,
  everything but the compiled operators themselves works, and nothing here calls those.
- basicsr 1.4.2 imports ``rgb_to_grayscale`` from ``torchvision.transforms.functional_tensor``, a module that
  torchvision 0.17 has removed. A stand-in with that one function is all it needs (BasicSR#533, #663).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

_KEPT: list[Any] = []  # torch drops a library's declarations when its Library object is garbage-collected


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
        return
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):  # torchvision describes these at import without checking that they exist
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    importlib.import_module("torchvision")


def _stand_in_for_functional_tensor() -> None:
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module


def install() -> None:
    """Apply both fixes where they are needed. Does nothing without torchvision."""
    if importlib.util.find_spec("torchvision") is not None:
        _import_torchvision()
        _stand_in_for_functional_tensor()


install()
