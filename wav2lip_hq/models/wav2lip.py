"""The Wav2Lip generator: a face with its lower half hidden and 0.2 s of speech in, the whole face out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import ConvBlock, SpeechAttention, UpBlock, fold_time, residual_blocks, scale_channels

ENCODER = (16, 32, 64, 128, 256, 512, 512)
ENCODER_RESIDUALS = (0, 2, 3, 2, 2, 1)
DECODER = (512, 512, 512, 384, 256, 128, 64)
DECODER_RESIDUALS = (0, 1, 2, 2, 2, 2, 2)
ATTENTION_STAGE = 2  # the decoder's 6x6 map: coarse enough to be cheap, fine enough to tell lips from chin


class Wav2Lip(nn.Module):
    """Official layout for ``width == 1`` and ``size == 96``.

    width: channel multiplier (keys do not change). size: side of the square face crop, a multiple of 32; it sets the
    kernel of the layers around the 1x1 bottleneck (size / 32), the only weights whose shape depends on it. gated and
    attention are VividWav2Lip's ideas, off in the official layout: residual blocks with squeeze and excitation, and
    cross-attention from the face's coarse map to the speech's.
    """

    def __init__(self, width: float = 1.0, size: int = 96, gated: bool = False, attention: bool = False) -> None:
        super().__init__()
        if size % 32 or size < 64:
            raise ValueError(f"the generator's size must be a multiple of 32 and at least 64, not {size}")
        self.width, self.size = width, size
        last = size // 32  # side of the map that the bottleneck collapses
        enc = [scale_channels(c, width) for c in ENCODER]
        dec = [scale_channels(c, width) for c in DECODER]

        stages: list[nn.Module] = [nn.Sequential(ConvBlock(6, enc[0], 7, 1, 3))]
        for i in range(1, 6):
            down = ConvBlock(enc[i - 1], enc[i], 3, 2, 1)
            stages.append(nn.Sequential(down, *residual_blocks(enc[i], ENCODER_RESIDUALS[i], gated)))
        stages.append(nn.Sequential(ConvBlock(enc[5], enc[6], last, 1, 0), ConvBlock(enc[6], enc[6], 1, 1, 0)))
        self.face_encoder_blocks = nn.ModuleList(stages)

        a = [scale_channels(c, width) for c in (32, 64, 128, 256, 512)]
        self.audio_encoder = nn.Sequential(
            ConvBlock(1, a[0]),
            *residual_blocks(a[0], 2),
            ConvBlock(a[0], a[1], 3, (3, 1), 1),
            *residual_blocks(a[1], 2),
            ConvBlock(a[1], a[2], 3, 3, 1),
            *residual_blocks(a[2], 2),
            ConvBlock(a[2], a[3], 3, (3, 2), 1),
            *residual_blocks(a[3], 1),
            ConvBlock(a[3], a[4], 3, 1, 0),
            ConvBlock(a[4], a[4], 1, 1, 0),
        )

        # Every decoder stage gets the output of the one before, concatenated with the face encoder's map of the same
        # size.
        stages = [nn.Sequential(ConvBlock(a[4], dec[0], 1, 1, 0))]
        for i in range(1, 7):
            inputs = dec[i - 1] + enc[7 - i]
            up = UpBlock(inputs, dec[i], last, 1, 0) if i == 1 else UpBlock(inputs, dec[i])
            stages.append(nn.Sequential(up, *residual_blocks(dec[i], DECODER_RESIDUALS[i], gated)))
        self.face_decoder_blocks = nn.ModuleList(stages)

        self.speech_attention = SpeechAttention(dec[ATTENTION_STAGE], a[3]) if attention else None

        out = scale_channels(32, width)
        self.output_block = nn.Sequential(ConvBlock(dec[6] + enc[0], out), nn.Conv2d(out, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Mel windows and faces to faces.

        mel: (N, 1, 80, 16) float in [-4, 4], or (B, T, 1, 80, 16). May hold k N windows, k speeches for the N faces one
        after the other; faces are encoded once.
        face: (N, 6, S, S) float in [0, 1]: BGR with the lower half zeroed, then BGR of another moment (at inference
        the same, unmasked), or (B, 6, T, S, S). Returns BGR (N, 3, S, S), or (B, 3, T, S, S), in [0, 1].
        """
        frames = face.shape[2] if face.ndim == 5 else 0
        if frames:
            mel = mel.transpose(0, 1).flatten(0, 1)
            face = fold_time(face)

        maps = []
        x = face
        for block in self.face_encoder_blocks:
            x = block(x)
            maps.append(x)
        if len(mel) > len(face):
            maps = [torch.cat([m] * (len(mel) // len(face))) for m in maps]  # repeat() would lose channels_last
            x = maps[-1]
        speech = self.audio_encoder[:-2](mel)  # 3x3: three frequency bands by three time steps
        x = self.audio_encoder[-2:](speech)
        for stage, block in enumerate(self.face_decoder_blocks):
            x = block(x)
            if stage == ATTENTION_STAGE and self.speech_attention is not None:
                x = self.speech_attention(x, speech)
            x = torch.cat((x, maps.pop()), dim=1)
        x = self.output_block(x)
        return x.unflatten(0, (frames, -1)).permute(1, 2, 0, 3, 4) if frames else x
