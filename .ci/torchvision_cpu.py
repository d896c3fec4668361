"""Development aid: let a CUDA build of torchvision import beside a CPU build of torch.

Some build machines offer a CPU wheel of torch but only a CUDA wheel of torchvision, whose compiled operators then do
not load and whose import fails with "operator torchvision::nms does not exist". Declaring the operators' schemas first
is enough for everything basicsr, gfpgan and facexlib use at import. Installed into .venv by .ci/setup only where it is
needed; users with a matching pair never see it.
"""

import importlib.abc
import importlib.machinery
import sys


class _Finder(importlib.abc.MetaPathFinder):
    """Declares the schemas just before torchvision is first imported, so that plain python start-up stays fast."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torch._torchvision_schemas = library  # kept alive for the life of the process
        return None


sys.meta_path.insert(0, _Finder())
