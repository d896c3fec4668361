"""The cost of a pipeline's networks: seconds, items and floating-point operations.

``runtime.Model.__call__`` is wrapped while a run lasts, so that the library needs no clock of its own. A GPU is
synchronized before and after each call: else a network's time would be attributed to whatever next waits for a result.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wav2lip_hq.runtime import PRECISIONS, Model

NAMES = {getattr(torch, dtype): name for name, dtype in PRECISIONS.items()}


@dataclass
class Cost:
    """One network's cost. An item is a row of its batch: a picture, or a window of the sync expert."""

    precision: str
    items: int = 0
    seconds: float = 0.0
    flops: float = 0.0  # a multiplication and an addition are two; 0 unless counted


class Watch:
    """Within its ``with`` block, records every network call of this process; ``costs``: by checkpoint.

    counting: count floating-point operations; seconds are then too long.
    """

    def __init__(self, counting: bool = False) -> None:
        self.counting = counting
        self.costs: dict[str, Cost] = {}

    @property
    def seconds(self) -> float:
        """Spent inside networks, casting to and from their precision included."""
        return sum(cost.seconds for cost in self.costs.values())

    def __enter__(self) -> Watch:
        original = Model.__call__

        def call(model: Model, *args: Any, **kwargs: Any) -> Any:
            cost = self.costs.setdefault(model.name, Cost(NAMES.get(model.dtype, str(model.dtype))))
            cost.items += next((len(a) for a in args if isinstance(a, Tensor)), 1)
            synchronize(model.device)
            began = time.perf_counter()
            if self.counting:
                with FlopCounterMode(display=False) as counter:
                    out = original(model, *args, **kwargs)
                cost.flops += counter.get_total_flops()
            else:
                out = original(model, *args, **kwargs)
            synchronize(model.device)
            cost.seconds += time.perf_counter() - began
            return out

        self._patch = patch.object(Model, "__call__", call)
        self._patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.stop()


def synchronize(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, precision: str, side: int = 0, repeat: int = 10) -> float:
    """Operations per second of products of square matrices on this device, the fastest of ``repeat``: the reference for
    ``efficiency``.

    side: of the matrices; 0 = large enough for the device (larger ones gain nothing on a CPU).
    """
    side = side or (8192 if device.type == "cuda" else 1024)
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, PRECISIONS[precision])) for _ in range(2))
    times = []
    for _ in range(repeat + 1):  # the first is the warm-up
        synchronize(device)
        began = time.perf_counter()
        a @ b
        synchronize(device)
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times[1:])


def efficiency(
    counted: Mapping[str, Cost], timed: Mapping[str, Cost], rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Each network's operations per second, absolute and relative to matrix products.

    counted, timed: costs of two runs, with and without counting. rates: operations a second by precision.
    Networks that only one of the runs called are left out.
    """
    rows = []
    for name, cost in timed.items():
        other = counted.get(name)
        if other is None or not other.items or not other.flops or not cost.items or not cost.seconds:
            continue
        each, seconds = other.flops / other.items, cost.seconds / cost.items
        rows.append(
            {
                "network": name,
                "precision": cost.precision,
                "items": cost.items,
                "gflop": round(each / 1e9, 3),
                "ms": round(1000 * seconds, 3),
                "tflops": round(each / seconds / 1e12, 4),
                "fraction": round(each / seconds / rates[cost.precision], 4),
            }
        )
    return rows


def table(rows: list[dict[str, Any]], rates: Mapping[str, float]) -> list[str]:
    """``efficiency`` as lines of Markdown."""
    reached = ", ".join(f"{name} {rate / 1e12:.3g} TFLOP/s" for name, rate in rates.items())
    return [
        f"Matrix products reach {reached} here; of that, the networks (an item is one row of a batch):",
        "",
        "| network | precision | GFLOP an item | ms an item | TFLOP/s | of the matrix rate |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r['network']} | {r['precision']} | {r['gflop']} | {r['ms']} | {r['tflops']:.3g} | "
            f"{100 * r['fraction']:.1f} % |"
            for r in rows
        ),
        "",
    ]
