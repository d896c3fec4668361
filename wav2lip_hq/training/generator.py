"""The lip-sync generator: a face and speech in, the face saying the speech out.

L = (1 - sw - sg) L1 + sw E_sync + sg L_gen with a frozen expert (Prajwal et al. 2020, section 3.3), windows of five
frames, a random other window of the same clip as the reference, the lower half of the face masked.

Departures, each an option: the lower half has a larger weight in L1 (``lower_weight``; the upper half is an input and
is not pasted back); the sync loss starts when the reconstruction has converged (``sync_after``: the moving average of
L1 is below a bound, or ``sync_step``); a first recipe may train on single frames (``frames``: 1) without the expert, so
that the cheap phase sees more faces, and a second one ``start`` from its weights.

With few speakers the network memorizes their mouths instead of copying the appearance it is shown: an unknown beard is
shaved off. ``reference_near`` is the share of references taken from within half a second, where the head has hardly
moved but the mouth has.

A frame's mel window starts one frame before it, as in Wav2Lip's training code (its inference code starts at the frame
itself, 40 ms later); the exported card says so (``mel_offset_ms`` = -40), and the lip-sync stage reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import checkpoints, models
from ..types import Array
from . import talking
from .critic import PatchCritic, feature_matching, hinge
from .options.talking import DrawingOptions, GeneratorOptions
from .recipe import Recipe
from .talking import Clip, Look
from .task import Batch, Optimize, Task

MEL_OFFSET_FRAMES = -1  # start of a frame's mel window, in frames relative to the frame
MEL_OFFSET_MS = 1000.0 * MEL_OFFSET_FRAMES / talking.FPS
NEAR = 12  # frames: largest distance of a "near" reference from its target
CRITIC_WARM_UP = 100  # steps for which the critic trains before its loss reaches the generator


def _mouth(faces: Tensor) -> Tensor:
    """(N, 1, h, w) gray crops of mouth and chin of faces (N, 3, S, S), the critic's input: elsewhere generated and real
    faces hardly differ, and from a critic of colors the generator learns bright streaks where it is unsure."""
    size = faces.shape[2]
    part = faces[:, :, size * 13 // 24 : size * 23 // 24, size * 5 // 24 : size * 19 // 24]
    return part.mean(1, keepdim=True)


def masked(faces: Tensor) -> Tensor:
    """(N, 3, S, S) with the lower half zeroed."""
    out = faces.clone()
    out[:, :, out.shape[2] // 2 :] = 0
    return out


class GeneratorTask(Task):
    """Trains the generator with L1, the expert's sync loss and an adversarial loss."""

    Options: ClassVar[type[DrawingOptions]] = GeneratorOptions
    options: DrawingOptions
    product = "generator"
    monitor = "val_loss"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        self.betas = (0.5, 0.999)
        self.width, self.frames, self.freeze_norm = o.width, o.frames, o.freeze_norm
        self.lower_weight, self.augment, self.bend = o.lower_weight, o.augment, o.bend
        held, skip = talking.held_identities(o.data, o.validation), list(o.exclude)
        folder, shifts = Path(o.data), o.shifts
        self.train_clips = talking.load_clips(folder, without=held + skip, shifts=shifts)
        self.held_clips = talking.load_clips(folder, identities=held, without=skip, shifts=shifts)
        self.sampler = talking.Sampler([c for c in self.train_clips if len(c) > 3 * talking.WINDOW + 2])
        self.near, self.hard = o.reference_near, o.reference_hard
        self._mouths: dict[str, Array] = {}
        self.variant = {k: True for k in ("gated", "attention") if getattr(o, k)}
        self.modules = {"generator": models.build("wav2lip", width=self.width, **self.variant)}
        if o.start:
            state, _ = checkpoints.load_state(Path(o.start))
            self.modules["generator"].load_state_dict(state)
        self.sync_weight = self.gan_weight = 0.0
        self.add_losses()
        self.state = {"sync": 0.0, "l1": 1.0}

    def add_losses(self) -> None:
        """Make the networks of the sync and adversarial losses; a subclass has others."""
        o = self.options
        assert isinstance(o, GeneratorOptions)
        self.sync_weight, self.sync_after = o.sync_weight, o.sync_after
        self.sync_step = 1 << 30 if o.sync_step is None else o.sync_step
        self.gan_weight, self.gan_step, self.feature_weight = o.gan_weight, o.gan_step, o.feature_weight
        self.patches = o.discriminator == "patch"
        if self.gan_weight:
            self.modules["critic"] = PatchCritic() if self.patches else models.build("visual_quality_disc")
            self.lr_scale["critic"] = (4.0 if self.patches else 1.0) if o.critic_lr is None else o.critic_lr
        if self.sync_weight:
            self.modules["expert"] = checkpoints.load(o.expert or "", "lipsync_expert").module

    @property
    def trained(self) -> tuple[str, ...]:
        return ("generator", "critic") if self.gan_weight else ("generator",)

    # ---- samples

    def sample(self, clip: Clip, start: int, reference: int, look: Look, frames: int = talking.WINDOW) -> Batch:
        """target, reference (frames, 3, S, S) uint8 BGR; mels (frames, 1, 80, 16); window (1, 80, 16)."""
        offsets = np.arange(frames)
        crops = talking.face_crops(clip, np.concatenate([start + offsets, reference + offsets]), look)
        crops = crops.transpose(0, 3, 1, 2)
        mels = np.stack([clip.mel_at(start + k + MEL_OFFSET_FRAMES)[None] for k in offsets.tolist()])
        return {
            "target": crops[:frames],
            "reference": crops[frames:],
            "mels": mels,
            "window": clip.mel_at(start)[None],
        }

    def mouths(self, clip: Clip) -> Array:
        """(T, 12, 16, 3) float32 thumbnails of a clip's mouths."""
        if clip.name not in self._mouths:
            small = talking.face_crops(clip, np.arange(len(clip)), Look(), 32)
            self._mouths[clip.name] = small[:, 18:30, 8:24].astype(np.float32)
        return self._mouths[clip.name]

    def draw(self, clip: Clip, rng: np.random.Generator, near: float = 0.0, hard: int = 1) -> tuple[int, int]:
        """(start of a window, start of its reference window), which do not overlap; with probability ``near`` the
        reference is within NEAR frames.

        Of ``hard`` candidates the reference whose mouth differs most is taken: a generator that can copy the
        reference's mouth does not learn to use the speech.
        """
        last = len(clip) - talking.WINDOW
        start = int(rng.integers(1, last + 1))
        reach = NEAR if near and rng.random() < near else last + 1
        others = [r for r in range(last + 1) if talking.WINDOW <= abs(r - start) <= reach]
        if not others:
            return start, 0
        few = rng.choice(others, min(hard, len(others)), replace=False)
        if len(few) > 1:
            mouths = self.mouths(clip)
            few = few[np.argsort(np.abs(mouths[few] - mouths[start]).mean((1, 2, 3)))]
        return start, int(few[-1])

    def batch(self, rng: np.random.Generator) -> Batch:
        samples = []
        for _ in range(max(1, self.recipe.batch_size // self.frames)):
            clip = self.sampler.clip(rng)
            start, reference = self.draw(clip, rng, self.near, self.hard)
            item = self.sample(clip, start, reference, Look.draw(rng, self.augment, self.bend), self.frames)
            if self.augment:
                # The same augmentation for the expert's window as for the generator's.
                both = np.concatenate([item["mels"], item["window"][None]])
                both = talking.vary_speech(both, rng, 0.5 * self.augment)
                item["mels"], item["window"] = both[:-1], both[-1]
            samples.append(item)
        return {key: np.stack([s[key] for s in samples]) for key in samples[0]}

    # ---- losses

    def generate(self, net: nn.Module, target: Tensor, reference: Tensor, mels: Tensor) -> Tensor:
        """(B, T, 3, S, S) uint8 -> (B * T, 3, S, S) float in [0, 1]."""
        face = target.flatten(0, 1).float() / 255.0
        inputs = torch.cat([masked(face), reference.flatten(0, 1).float() / 255.0], 1)
        out: Tensor = net(mels.flatten(0, 1).float(), inputs.contiguous(memory_format=torch.channels_last))
        return out.float()

    def expert_window(self, frames: Tensor, batch: int) -> Tensor:
        """(B * T, 3, S, S) -> (B, 3 * T, S / 2, S), the lower halves as the expert reads them."""
        lower = frames[:, :, frames.shape[2] // 2 :]
        return lower.reshape(batch, -1, lower.shape[2], lower.shape[3])

    def sync_loss(self, frames: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """(cross-entropy, cosine) of generated windows against their speech; gradients reach the frames alone."""
        sound, face = self.modules["expert"](window.float(), self.expert_window(frames, len(window)))
        cosine = (sound.float() * face.float()).sum(1)
        return -cosine.clamp(1e-4, 1 - 1e-4).log().mean(), cosine.mean()

    def reconstruction(self, out: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """(L1 with the lower half weighted, plain L1) of (N, 3, S, S) faces in [0, 1]."""
        difference = (out - target).abs()
        half = out.shape[2] // 2
        upper, lower = difference[:, :, :half].mean(), difference[:, :, half:].mean()
        weight = self.lower_weight
        return (upper + weight * lower) / (1 + weight), (upper + lower) / 2

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        if self.freeze_norm:
            for module in self.modules["generator"].modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        count = len(batch["target"])
        target = batch["target"].flatten(0, 1).float() / 255.0
        out = self.generate(self.live["generator"], batch["target"], batch["reference"], batch["mels"])
        log: dict[str, float | Tensor] = {}
        weighted, plain = self.reconstruction(out, target)
        log["l1"] = plain.detach()
        self.state["l1"] = 0.98 * self.state["l1"] + 0.02 * float(plain.detach())
        self.state["step"] = self.state.get("step", 0) + 1
        if self.sync_weight and (self.state["l1"] < self.sync_after or self.state["step"] > self.sync_step):
            self.state["sync"] = 1.0
        sw = self.sync_weight * self.state["sync"]
        gan = self.gan_weight and self.state["step"] > self.gan_step
        sg = self.gan_weight if gan else 0.0
        loss = (1 - sw - sg) * weighted
        if sw:
            sync, cosine = self.sync_loss(out, batch["window"])
            loss = loss + sw * sync
            log["sync"], log["cosine"] = sync.detach(), cosine.detach()
        if gan:
            adversarial = self._adversarial_loss(out, target, count)
            loss = loss + sg * adversarial
            log["gen"] = adversarial.detach()
        optimize("generator", loss)
        if self.gan_weight:
            critic = self._critic_loss(out.detach(), target, count)
            optimize("critic", critic if self.state["step"] > self.gan_step - CRITIC_WARM_UP else critic * 0)
            log["critic"] = critic.detach()
        return {k: v.detach() if isinstance(v, Tensor) else v for k, v in log.items()}

    def _adversarial_loss(self, made: Tensor, real: Tensor, count: int) -> Tensor:
        """The generator's adversarial loss; gradients reach the faces (B * T, 3, S, S) alone."""
        critic = self.live["critic"]
        critic.requires_grad_(False)
        loss: Tensor
        if self.patches:
            score, features = critic(_mouth(made))
            with torch.no_grad():
                _, wanted = critic(_mouth(real))
            loss = -score.float().mean() + self.feature_weight * feature_matching(features, wanted)
        else:
            score = critic(self._sequence(made, count)).float()
            loss = F.binary_cross_entropy(score.clamp(1e-6, 1 - 1e-6), torch.ones_like(score))
        critic.requires_grad_(True)
        return loss

    def _critic_loss(self, made: Tensor, real: Tensor, count: int) -> Tensor:
        """The critic's loss on generated and real faces (B * T, 3, S, S)."""
        critic = self.live["critic"]
        if self.patches:
            loss: Tensor = hinge(critic(_mouth(real))[0], critic(_mouth(made))[0])
            return loss
        good = critic(self._sequence(real, count)).float().clamp(1e-6, 1 - 1e-6)
        bad = critic(self._sequence(made, count)).float().clamp(1e-6, 1 - 1e-6)
        one, zero = torch.ones_like(good), torch.zeros_like(bad)
        return F.binary_cross_entropy(good, one) + F.binary_cross_entropy(bad, zero)

    @staticmethod
    def _sequence(frames: Tensor, count: int) -> Tensor:
        """(B * T, 3, S, S) -> (B, 3, T, S, S), the critic's order."""
        return frames.reshape(count, -1, *frames.shape[1:]).transpose(1, 2)

    # ---- held-out figures

    def _held(self, count: int) -> list[Batch]:
        rng = np.random.default_rng(1)
        out = []
        for k in range(count):
            clip = self.held_clips[k * len(self.held_clips) // count]
            start, reference = self.draw(clip, rng)
            out.append(self.sample(clip, start, reference, Look()))
        return out

    def validate(self, device: torch.device) -> dict[str, float]:
        from skimage.metrics import structural_similarity

        items = self._held(self.options.validation_windows)
        l1, sync, cosine, real, ssim = [], [], [], [], []
        for at in range(0, len(items), 8):
            group = items[at : at + 8]
            batch = {k: torch.from_numpy(np.stack([g[k] for g in group])).to(device) for k in group[0]}
            out = self.generate(self.modules["generator"], batch["target"], batch["reference"], batch["mels"])
            target = batch["target"].flatten(0, 1).float() / 255.0
            l1.append(float(self.reconstruction(out, target)[1]))
            if self.sync_weight:
                loss, cos = self.sync_loss(out, batch["window"])
                sync.append(float(loss))
                cosine.append(float(cos))
                real.append(float(self.sync_loss(target, batch["window"])[1]))
            a = (out.clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
            b = (target.cpu().numpy() * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
            for x, y in zip(a[::2], b[::2], strict=True):  # the mouth: lower half, middle three fifths
                x, y = x[48:92, 19:77], y[48:92, 19:77]
                ssim.append(structural_similarity(x, y, channel_axis=2, data_range=255))
        figures = {"val_l1": float(np.mean(l1)), "mouth_ssim": float(np.mean(ssim))}
        if sync:
            figures |= {
                "val_sync": float(np.mean(sync)),
                "val_cosine": float(np.mean(cosine)),
                "real_cosine": float(np.mean(real)),
            }
        figures["val_loss"] = figures["val_l1"] + self.sync_weight * figures.get("val_sync", 0.0) * self.state["sync"]
        return figures

    def samples(self, device: torch.device) -> Array | None:
        items = self._held(6)
        rows = []
        batch = {k: torch.from_numpy(np.stack([g[k] for g in items])).to(device) for k in items[0]}
        out = self.generate(self.modules["generator"], batch["target"], batch["reference"], batch["mels"])
        made = (out.clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
        made = made.reshape(len(items), -1, *made.shape[1:]).transpose(0, 1, 3, 4, 2)
        for item, faces in zip(items, made, strict=True):
            real = item["target"].transpose(0, 2, 3, 1)
            reference = item["reference"].transpose(0, 2, 3, 1)
            rows.append(np.hstack([reference[0], *real[::2], *faces[::2]]))
        sheet = np.vstack(rows)[..., ::-1]
        return np.asarray(cv2.resize(np.ascontiguousarray(sheet), None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC))

    def export(self, path: Path, figures: dict[str, float]) -> None:
        checkpoints.save(
            path,
            self.modules["generator"],
            arch="wav2lip",
            options={"width": self.width, **self.variant},
            card={
                "task": self.recipe.task,
                "mel_offset_ms": MEL_OFFSET_MS,
                "figures": figures,
                "recipe": self.recipe.options,
            },
        )
