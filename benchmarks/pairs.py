"""``python -m benchmarks pairs``: a seeded list of speech and footage in Wav2Lip's format."""

from __future__ import annotations

import argparse

from . import items


def main(args: argparse.Namespace) -> int:
    """Write the list."""
    pairs = items.make_pairs(items.movies([args.data]), args.count, args.seed)
    items.write_pairs(args.out, pairs, args.data)
    print(f"{len(pairs)} pairs in {args.out}; judge them with")
    print(f"    python -m benchmarks quality --data {args.data} --pairs {args.out}")
    return 0
