"""Rows of the papers' tables, to stand beside ours. Each was measured by its authors on data that is not here."""

from __future__ import annotations

# Wav2Lip (Prajwal et al. 2020), Table 1: LSE-D, LSE-C, FID on the consistent pairs of three test sets.
_TABLE1 = {
    "LRW": {
        "Speech2Vid": (13.14, 1.762, 11.15),
        "LipGAN": (10.05, 3.350, 2.833),
        "Wav2Lip": (6.512, 7.490, 3.189),
        "Wav2Lip + GAN": (6.774, 7.263, 2.475),
        "real videos": (7.012, 6.931, None),
    },
    "LRS2": {
        "Speech2Vid": (14.23, 1.587, 12.32),
        "LipGAN": (10.33, 3.199, 4.861),
        "Wav2Lip": (6.386, 7.789, 4.887),
        "Wav2Lip + GAN": (6.469, 7.781, 4.446),
        "real videos": (6.736, 7.838, None),
    },
    "LRS3": {
        "Speech2Vid": (13.97, 1.681, 11.91),
        "LipGAN": (10.65, 3.193, 4.732),
        "Wav2Lip": (6.652, 7.887, 4.844),
        "Wav2Lip + GAN": (6.986, 7.574, 4.350),
        "real videos": (6.956, 7.592, None),
    },
}
# The same, Table 2: ReSyncED.
_TABLE2 = {
    "dubbed": {
        "original videos": (12.63, 0.896, None),
        "Speech2Vid": (14.76, 1.121, 19.31),
        "LipGAN": (10.61, 2.857, 12.87),
        "Wav2Lip": (6.843, 7.265, 15.65),
        "Wav2Lip + GAN": (7.318, 6.851, 11.84),
    },
    "random": {
        "without lip-syncing": (17.12, 2.014, None),
        "Speech2Vid": (15.22, 1.086, 19.98),
        "LipGAN": (11.01, 3.341, 14.60),
        "Wav2Lip": (6.691, 8.220, 14.47),
        "Wav2Lip + GAN": (7.066, 8.011, 13.12),
    },
    "tts": {
        "without lip-syncing": (16.89, 2.557, None),
        "Speech2Vid": (14.39, 1.471, 17.96),
        "LipGAN": (10.90, 3.279, 11.91),
        "Wav2Lip": (6.659, 8.126, 12.77),
        "Wav2Lip + GAN": (7.225, 7.651, 11.15),
    },
}
# Wav2Lip-HQ (2025), Table 2: LSE-D, LSE-C, SyncNet, SSIM, PSNR, FID, TSS. Neither the data nor the formula of the last
# column is given there.
_HQ = {
    "SyncNet": (7.24, 3.12, 2.92, 0.71, 27.83, 42.76, 0.67),
    "LipGAN": (6.02, 4.31, 4.58, 0.73, 28.65, 39.42, 0.72),
    "Wav2Lip": (4.86, 5.89, 6.76, 0.79, 29.17, 33.21, 0.78),
    "Wav2Lip + SR": (5.12, 5.47, 6.34, 0.81, 30.25, 28.73, 0.76),
    "Wav2Lip-HQ": (3.74, 6.92, 7.58, 0.88, 32.64, 23.18, 0.85),
}


def rows(protocol: str) -> list[dict[str, float | str | None]]:
    """The published rows that belong beside a protocol, each with ``method`` and ``source``."""
    tables = _TABLE1 if protocol == "pairs" else {protocol: _TABLE2[protocol]} if protocol in _TABLE2 else {}
    out: list[dict[str, float | str | None]] = []
    for name, table in tables.items():
        for method, (lse_d, lse_c, distance) in table.items():
            source = f"published: Wav2Lip 2020, {name}"
            out.append({"method": method, "source": source, "lse_d": lse_d, "lse_c": lse_c, "fid": distance})
    if protocol in ("reconstruction", "pairs"):
        columns = ("lse_d", "lse_c", "syncnet", "ssim", "psnr", "fid", "tss")
        for method, values in _HQ.items():
            source = "published: Wav2Lip-HQ 2025"
            out.append({"method": method, "source": source, **dict(zip(columns, values, strict=True))})
    return out
