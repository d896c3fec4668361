"""What the studio may be told when it is started."""

from __future__ import annotations

from dataclasses import dataclass

from ..options import check, described, option

LOCAL = ("127.0.0.1", "::1", "localhost")


@described
@dataclass(frozen=True)
class StudioOptions:
    """Where the studio listens, where it keeps things, and how much it takes."""

    host: str = option(
        "127.0.0.1",
        "The address it listens at; any but this machine's own (127.0.0.1, ::1, localhost) needs accounts.",
    )
    port: int = option(7870, "The port it listens at; 0 takes a free one.", low=0, high=65535)
    folder: str = option("", "Where accounts, uploads and results are kept (default: wav2lip_hq/studio in your data).")
    device: str = option("auto", "What computes: auto, cpu, cuda, cuda:1, ...")
    max_upload: float = option(1024.0, "The largest file that is taken.", unit="MB", above=0, high=1e6)
    max_minutes: float = option(30.0, "The longest footage or speech that is taken.", unit="minutes", above=0, high=1e4)
    max_storage: float = option(
        20480.0, "How much one account may keep, uploads and results together.", unit="MB", above=0, high=1e8
    )
    max_queue: int = option(20, "How many unfinished videos one account may have.", low=1, high=10000)
    require_consent: bool = option(True, "Take no video without a note of who agreed to it.")
    certificate: str = option("", "A TLS certificate (PEM), for https; with `key`.")
    key: str = option("", "The certificate's key (PEM).")

    def __post_init__(self) -> None:
        check(self)

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOCAL
