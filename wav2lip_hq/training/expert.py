"""The lip-sync expert: do this mouth and this sound belong together?

The network is Wav2Lip's SyncNet_color (five frames of the face's lower half, 0.2 s of mel), and its output is read as
there: the cosine similarity of two non-negative embeddings is a probability (Prajwal et al. 2020, section 3.2).

Training differs in one respect. With one random negative for each positive the loss stays at 0.69, that of a constant
0.5, for thousands of steps. Here every window of a clip is contrasted with all other windows of the same clip (InfoNCE,
van den Oord et al. 2018): speaker, light and microphone are the same, so that only timing tells them apart, and each
picture gets many negatives from one forward pass. The paper's binary cross-entropy remains as a second term, which
calibrates the cosine as a probability.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import checkpoints, models
from ..types import Array
from . import talking
from .options.talking import ExpertOptions, SyncOptions
from .recipe import Recipe
from .talking import Clip, Look
from .task import Batch, Optimize, Task


def spread(rng: np.random.Generator, last: int, count: int, gap: int) -> Array:
    """``count`` window starts in [0, last], at least ``gap`` apart where the clip is long enough."""
    room = last + 1 - (count - 1) * gap
    if room < 1:
        return np.sort(rng.choice(last + 1, size=min(count, last + 1), replace=False))
    starts = np.sort(rng.integers(0, room, count))
    return starts + gap * np.arange(count)


class ExpertTask(Task):
    """Trains the expert on windows of the same clip."""

    Options: ClassVar[type[SyncOptions]] = ExpertOptions
    options: SyncOptions
    product = "expert"
    monitor = "off_sync_accuracy"
    higher_is_better = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        self.width, self.windows, self.augment, self.temperature = o.width, o.windows, o.augment, o.temperature
        held, skip = talking.held_identities(o.data, o.validation), list(o.exclude)
        folder, shifts = Path(o.data), o.shifts
        self.train_clips = talking.load_clips(folder, without=held + skip, shifts=shifts)
        self.held_clips = talking.load_clips(folder, identities=held, without=skip, shifts=shifts)
        self.sampler = talking.Sampler([c for c in self.train_clips if len(c) > self.windows + talking.WINDOW])
        self.build_model()
        if o.start:
            self.modules[self.product].load_state_dict(checkpoints.load_state(Path(o.start))[0])

    def build_model(self) -> None:
        """Make the network; a subclass trains another one on the same samples."""
        assert isinstance(self.options, ExpertOptions)
        self.frames, self.binary = self.options.frames, self.options.binary
        self.modules = {"expert": models.build("lipsync_expert", width=self.width, frames=self.frames)}

    # ---- samples

    def window(self, clip: Clip, start: int, look: Look, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """(3 * Tv, 48, 96) uint8 lower halves and (1, 80, 16) float32 mel of the window that starts at a frame."""
        middle = start + (talking.WINDOW - self.frames) // 2
        faces = talking.face_crops(clip, np.arange(middle, middle + self.frames), look)[:, 48:]
        mel = clip.mel_at(start)
        if rng is not None:
            mel = talking.vary_speech(mel, rng, self.augment)
        return faces.transpose(0, 3, 1, 2).reshape(-1, 48, 96), mel[None]

    def batch(self, rng: np.random.Generator) -> Batch:
        faces, mels, clips, starts = [], [], [], []
        count = max(1, self.recipe.batch_size // self.windows)
        for number in range(count):
            clip = self.sampler.clip(rng)
            look = Look.draw(rng, self.augment)
            seed = int(rng.integers(1 << 31))
            for start in spread(rng, len(clip) - talking.WINDOW, self.windows, 2):
                # The same augmentation of the sound for the whole clip: it must not tell windows apart.
                face, mel = self.window(clip, int(start), look, np.random.default_rng(seed))
                faces.append(face)
                mels.append(mel)
                clips.append(number)
                starts.append(int(start))
        return {"face": np.stack(faces), "mel": np.stack(mels), "clip": np.array(clips), "start": np.array(starts)}

    # ---- losses

    def embed(self, face: Tensor, mel: Tensor, live: bool = True) -> tuple[Tensor, Tensor]:
        """L2-normalized (N, D) speech and face embeddings."""
        net = (self.live if live else self.modules)["expert"]
        sound, face_embedding = net(mel.float(), face.float() / 255.0)
        return sound.float(), face_embedding.float()

    def losses(self, sound: Tensor, face: Tensor, clip: Tensor, start: Tensor) -> dict[str, Tensor]:
        """Softmax over the windows of the same clip (both ways), and binary cross-entropy on the cosine."""
        cosine = face @ sound.T
        same = clip[:, None] == clip[None]
        logits = (cosine / self.temperature).masked_fill(~same, -1e4)
        target = torch.arange(len(cosine), device=cosine.device)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        p = cosine.clamp(1e-4, 1 - 1e-4)
        far = same & ((start[:, None] - start[None]).abs() >= 3)
        positive, negative = -p.diagonal().log(), -(1 - p)[far].log()
        binary = (positive.mean() + negative.mean()) / 2
        with torch.no_grad():
            right = ((p.diagonal() > 0.5).float().mean() + (p[far] < 0.5).float().mean()) / 2
            top = (logits.argmax(1) == target).float().mean()
        return {"loss": contrast + self.binary * binary, "contrast": contrast, "bce": binary, "acc": right, "top1": top}

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        sound, face = self.embed(batch["face"], batch["mel"])
        with torch.autocast(sound.device.type, enabled=False):
            out = self.losses(sound, face, batch["clip"], batch["start"])
        optimize(self.product, out["loss"])
        return {k: v.detach() for k, v in out.items()}

    # ---- held-out figures

    def _embed_clip(self, clip: Clip, device: torch.device, every: int = 1) -> tuple[Array, Array, Array]:
        starts = np.arange(0, len(clip) - talking.WINDOW + 1, every)
        sounds, faces = [], []
        for at in range(0, len(starts), 48):
            pairs = [self.window(clip, int(s), Look(), None) for s in starts[at : at + 48]]
            face = torch.from_numpy(np.stack([p[0] for p in pairs])).to(device)
            mel = torch.from_numpy(np.stack([p[1] for p in pairs])).to(device)
            s, f = self.embed(face, mel, live=False)
            sounds.append(s.cpu().numpy())
            faces.append(f.cpu().numpy())
        return starts, np.concatenate(sounds), np.concatenate(faces)

    def validate(self, device: torch.device) -> dict[str, float]:
        return self.evaluate(self.held_clips, device, limit=self.options.validation_clips)

    def evaluate(self, clips: list[Clip], device: torch.device, limit: int = 1 << 30) -> dict[str, float]:
        """Off-sync accuracy (an in-sync and a randomly shifted pair for each window, threshold 0.5), the share of
        pairs ranked correctly, of clips whose offset is found within one frame, and the losses."""
        rng = np.random.default_rng(0)
        right, ranked, found, loss, bce, total = 0.0, 0.0, 0, 0.0, 0.0, 0
        clips = clips[:: max(1, len(clips) // limit)]
        for clip in clips:
            starts, sound, face = self._embed_clip(clip, device)
            cosine = np.clip(face @ sound.T, 1e-4, 1 - 1e-4)
            n = len(starts)
            shift = rng.integers(1, n, n)  # uniform over all other positions of the clip
            good, bad = cosine.diagonal(), cosine[np.arange(n), (np.arange(n) + shift) % n]
            right += float(((good > 0.5).sum() + (bad < 0.5).sum()) / 2)
            ranked += float((good > bad).sum())
            bce += float(-(np.log(good) + np.log(1 - bad)).sum() / 2)
            logits = cosine / self.temperature
            loss += float((np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)).sum())
            loss -= float(logits.diagonal().sum())
            total += n
            scores = {s: float(np.diagonal(cosine, s).mean()) for s in range(-15, 16) if n - abs(s) > 10}
            best = max(scores, key=lambda s: scores[s])
            found += -1 <= best <= 1
        return {
            "val_loss": loss / total,
            "val_bce": bce / total,
            "off_sync_accuracy": right / total,
            "pair_accuracy": ranked / total,
            "offset_within_1": found / len(clips),
        }

    def export(self, path: Path, figures: dict[str, float]) -> None:
        checkpoints.save(
            path,
            self.modules["expert"],
            arch="lipsync_expert",
            options={"width": self.width, "frames": self.frames},
            card={"task": "expert", "figures": figures, "recipe": self.recipe.options},
        )
