"""LipGAN, the papers' baseline: a sync discriminator trained along with the generator.

KR et al. 2019 use single frames (``frames: 1``) and a discriminator trained from scratch along with the generator. With
``critic`` (weights of an expert) and more frames this is also the "fine-tuned" half of Wav2Lip's Table 3: an expert
that is trained on generated faces, too. The discriminator is the expert's network, its cosine a probability; LipGAN's
own used a Euclidean margin.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .. import checkpoints, models
from . import talking
from .generator import GeneratorTask
from .options.talking import LipGanOptions
from .talking import Clip, Look
from .task import Batch, Optimize

FAR = 5  # frames: windows this far apart have no frame in common


class LipGanTask(GeneratorTask):
    """Trains the generator with L1 and a sync discriminator."""

    Options = LipGanOptions

    def add_losses(self) -> None:
        o = self.options
        assert isinstance(o, LipGanOptions)
        self.critic_weight = o.critic_weight
        self.critic_options = {"width": o.width if o.critic_width is None else o.critic_width, "frames": self.frames}
        self.modules["critic"] = models.build("lipsync_expert", **self.critic_options)
        if o.critic:
            self.modules["critic"].load_state_dict(checkpoints.load_state(Path(o.critic))[0])

    @property
    def trained(self) -> tuple[str, ...]:
        return ("generator", "critic")

    def sample(
        self, clip: Clip, start: int, reference: int, look: Look, frames: int = talking.WINDOW, off: int | None = None
    ) -> Batch:
        """As the generator's; ``window`` is the discriminator's speech in sync, ``off`` other speech of the clip."""
        item = super().sample(clip, start, reference, look, frames)
        before = (talking.WINDOW - frames) // 2  # the expert's 0.2 s are centered on the frames it sees
        item["window"] = clip.mel_at(start - before)[None]
        # The reference lies elsewhere in the clip, so its speech is the wrong one for these frames.
        other = reference if abs(reference - start) >= FAR else (start + len(clip) // 2) % len(clip)
        item["off"] = clip.mel_at(other - before)[None]
        return item

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        count = len(batch["target"])
        target = batch["target"].flatten(0, 1).float() / 255.0
        out = self.generate(self.live["generator"], batch["target"], batch["reference"], batch["mels"])
        weighted, plain = self.reconstruction(out, target)
        critic = self.live["critic"]
        critic.requires_grad_(False)
        fooled = self.agreement(critic, out, batch["window"], count)
        critic.requires_grad_(True)
        share = self.critic_weight
        optimize("generator", (1 - share) * weighted - share * fooled.log().mean())

        # One pass, so that batch norm has real, off-sync and generated pairs in one batch.
        frames = torch.cat([target, target, out.detach()])
        sound = torch.cat([batch["window"], batch["off"], batch["window"]])
        right, wrong, made = self.agreement(critic, frames, sound, 3 * count).chunk(3)
        loss = -(right.log().mean() + ((1 - wrong).log().mean() + (1 - made).log().mean()) / 2) / 2
        optimize("critic", loss)
        accuracy = ((right > 0.5).float().mean() + (wrong < 0.5).float().mean()) / 2
        log = {"l1": plain, "fooled": fooled.mean(), "critic": loss, "critic_accuracy": accuracy}
        return {k: v.detach() for k, v in log.items()}

    def agreement(self, critic: torch.nn.Module, frames: Tensor, sound: Tensor, count: int) -> Tensor:
        """(count,) probabilities that frames and speech belong together, clamped away from 0 and 1."""
        speech, face = critic(sound.float(), self.expert_window(frames, count))
        cosine: Tensor = (speech.float() * face.float()).sum(1)
        return cosine.clamp(1e-4, 1 - 1e-4)

    def export(self, path: Path, figures: dict[str, float]) -> None:
        super().export(path, figures)
        checkpoints.save(
            path.with_name(f"critic-{path.name}"),
            self.modules["critic"],
            arch="lipsync_expert",
            options=self.critic_options,
            card={"task": "lipgan", "figures": figures},
        )
