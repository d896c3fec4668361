"""Make basicsr (and so gfpgan, realesrgan) importable beside torchvision >= 0.17.

basicsr 1.4.2 imports ``rgb_to_grayscale`` from ``torchvision.transforms.functional_tensor``, a module torchvision has
removed. A stand-in with that one function is all it needs (BasicSR#533, #663). Import this before any of them.
"""

from __future__ import annotations

import importlib.util
import sys
import types


def install() -> None:
    """Register the stand-in module, unless torchvision still has the real one."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    if importlib.util.find_spec(name) is not None:
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module


install()
