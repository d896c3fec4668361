"""LipSync: the generator synthesizes the mouth from the speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import audio
from ..engine import Stage
from ..options import described, option
from ..types import Array, Chunk
from ._paste import paste
from ._reference import references

if TYPE_CHECKING:
    from torch import Tensor

    from ..runtime import Runtime

# Wav2Lip was trained with mel windows that start one frame before the frame (wav2lip_train.py), but its inference.py
# starts them at the frame itself, 40 ms too late. This is the offset of the training code.
OFFICIAL_OFFSET_MS = -40.0
ARCHITECTURES = ("wav2lip",)


@described
@dataclass(frozen=True)
class LipSync(Stage):
    """Generate the lower half of each face from the speech of its frame. Adds ``synced96`` (the generator's output) and
    ``synced`` (the same pasted into the aligned face, of which nothing else changes)."""

    name: ClassVar[str] = "lipsync"
    reads: ClassVar[tuple[str, ...]] = (
        "mel",
        "speech",
        "faces.frame",
        "faces.track",
        "faces.box",
        "faces.crop96",
        "faces.aligned",
        "faces.to96",
        "faces.to512",
    )
    optional: ClassVar[tuple[str, ...]] = ("tracks", "faces.pose", "faces.light")
    adds: ClassVar[tuple[str, ...]] = ("faces.synced96", "faces.synced")
    fits: ClassVar[tuple[str, ...]] = ARCHITECTURES

    model: str = option(
        "embedded-generator",
        "The generator's checkpoint: embedded-generator works offline, wav2lip_gan looks better, wav2lip is in better "
        "sync (both for non-commercial use); or a name of your own, or a file.",
    )
    reference: str = option(
        "neutral",
        "The generator's reference frame: neutral is another frame of the footage with a closed mouth, similar in pose "
        "and light (it needs the landmarks stage; without it, as same); same is the frame itself, whose old words then "
        "show through.",
        choices=("neutral", "same"),
    )
    sync_offset: float = option(
        0.0,
        "Positive values make the mouth follow later sound, negative ones earlier sound.",
        unit="ms",
        low=-2000,
        high=2000,
    )
    silence: bool = option(
        True, "Drive the generator with silence in pauses, so that breath and room noise do not move the lips."
    )
    # Classifier-free guidance (Ho and Salimans 2022) with silence as the empty condition, on the scale of LatentSync's
    # guidance_scale. Runs the decoder twice.
    guidance: float = option(
        1.0,
        "Classifier-free guidance, from the silent mouth to the speaking one: 1 is the generator's own output, more "
        "opens the mouth wider and improves sync, too much distorts it.",
        low=1,
        high=4,
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,)

    def mel_offset_ms(self, runtime: Runtime) -> float:
        """Start of a frame's mel window relative to the frame in ms, as the checkpoint was trained."""
        card = runtime.model(self.model, expect=ARCHITECTURES).card
        return float(card.get("mel_offset_ms", OFFICIAL_OFFSET_MS))

    def process(self, chunk: Chunk, runtime: Runtime) -> Chunk:
        faces = chunk.faces
        assert faces is not None and faces.crop96 is not None and faces.aligned is not None
        assert faces.to96 is not None and faces.to512 is not None and chunk.mel is not None
        if not len(faces):
            return chunk.with_faces(synced96=faces.crop96, synced=faces.aligned)
        mel = chunk.mel[faces.frame][:, None]
        if self.silence and chunk.speech is not None:
            speaks = chunk.speech[faces.frame][:, None, None, None]
            mel = audio.SILENCE + (mel - audio.SILENCE) * speaks
        shown = references(faces, chunk.tracks) if self.reference == "neutral" else faces.crop96
        made = generate(runtime, self.model, faces.crop96, mel, self.guidance, shown)
        size = made.shape[1]
        return chunk.with_faces(synced96=made, synced=paste(made, faces.to96, faces.to512, faces.aligned, size))


def generate(
    runtime: Runtime, name: str, crops: Array, mel: Array, guidance: float = 1.0, shown: Array | None = None
) -> Array:
    """Generated faces (N, S, S, 3) uint8 RGB, from faces (N, S, S, 3) uint8 RGB and mel windows (N, 1, 80, 16) float32.

    guidance: see ``LipSync.guidance``. shown: reference frames in the format of the crops (None: the crops themselves).
    """
    import torch

    model = runtime.model(name, expect=ARCHITECTURES)

    def given(pixels: Tensor) -> Tensor:
        return pixels.flip(-1).permute(0, 3, 1, 2).float() / 255  # the generator's order is BGR

    def run(pixels: Tensor, reference: Tensor, sound: Tensor) -> Tensor:
        hidden, face = given(pixels), given(reference)
        hidden[:, :, hidden.shape[2] // 2 :] = 0
        if guidance != 1:
            sound = torch.cat([sound, torch.full_like(sound, audio.SILENCE)])
        out: Tensor = model(sound, torch.cat([hidden, face], 1))
        if guidance != 1:
            speaking, silent = out.float().chunk(2)
            out = silent + guidance * (speaking - silent)
        return (out.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).flip(-1)

    return np.asarray(runtime.map(run, crops, crops if shown is None else shown, mel.astype(np.float32)))
