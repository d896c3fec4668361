"""Speech -> articulation: a person-independent mouth shape (the network is ``models.articulation``).

All mouths are measured in the same terms: the head's pose is removed in three dimensions, the person's own closed mouth
is 0 and the person's own spread is 1 (``mouthspace``). So different people's data agree, and a network of a hundred
thousand weights is enough.

Predictions from speech alone regress to the mean: they vary less than real mouths. Therefore the distribution of
predicted openings is mapped onto the real one (histogram matching), on people that were not trained on, and the curve
is stored in the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import articulation, audio, checkpoints, models
from ..audio import PHRASE
from ..errors import InputError
from ..models.articulation import KNOTS
from ..runtime import Runtime
from ..types import Array
from . import meshes, mouthspace, soundvary, talking
from .embed import LICENSE
from .mouthspace import Person, Space
from .options.articulation import ArticulationOptions
from .prepare import held_out
from .recipe import Recipe
from .task import Batch, Optimize, Task

COLUMNS = audio.MEL_RATE / talking.FPS  # mel columns a frame
SURE = 0.5  # least confidence of a mesh to be trained on
LAGS = 8  # frames to either side over which the lag of best correlation is searched


@dataclass(frozen=True)
class Talk:
    """A clip: mel (80, M), in which frame f's phrase begins at column 3.2 f; truth (T, K) coefficients; sure (T,) bool,
    whether a frame's truth is reliable."""

    name: str
    identity: str
    mel: Array
    truth: Array
    sure: Array
    person: Person

    def __len__(self) -> int:
        return len(self.truth)


class ArticulationTask(Task):
    """Trains the network on the meshes of prepared clips."""

    Options: ClassVar[type[ArticulationOptions]] = ArticulationOptions
    options: ArticulationOptions
    product = "articulation"
    monitor = "tuning_correlation"
    higher_is_better = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        o = self.options
        meshes.label(Path(o.data), Path(o.labels), Runtime(), o.mesh)
        apart = talking.held_identities(o.data, o.validation)
        self.space, talks = load(o, apart)
        held = [t for t in talks if t.identity in apart]
        rest = [t for t in talks if t.identity not in apart]
        self.held = held
        self.tuning = [t for t in rest if tuned(t.identity, o.tuning)]
        self.talks = [t for t in rest if not tuned(t.identity, o.tuning)]
        if not (self.talks and self.tuning and held):
            raise InputError(
                f"{len(self.talks)} clips to train on, {len(self.tuning)} to tune, {len(held)} held out; it takes more "
                "people, or other ones in 'validation' (none: those of split.json)"
            )
        count: dict[str, int] = {}
        for talk in self.talks:
            count[talk.identity] = count.get(talk.identity, 0) + len(talk)
        weight = np.array([len(t) / np.sqrt(count[t.identity]) for t in self.talks])
        self.share = weight / weight.sum()
        net = models.build("articulation", width=o.width, coefficients=o.coefficients)
        net.neutral.copy_(torch.from_numpy(self.space.neutral))  # type: ignore[operator]
        net.basis.copy_(torch.from_numpy(self.space.basis))  # type: ignore[operator]
        net.unit.copy_(torch.tensor([self.space.spread, self.space.closed]))  # type: ignore[operator]
        self.modules = {"articulation": net}
        size = torch.from_numpy(np.sqrt((self.space.basis**2).sum(-1).mean(-1))).float()
        size[0] *= 2  # the opening is what viewers notice first
        self.weight = size / size.sum() * len(size)

    # ---- samples

    def batch(self, rng: np.random.Generator) -> Batch:
        frames = round(self.options.seconds * talking.FPS)
        mels, truths, sures = [], [], []
        for _ in range(self.recipe.batch_size):
            talk = self.talks[int(rng.choice(len(self.talks), p=self.share))]
            mel, truth, sure = self.sample(talk, frames, rng)
            mels.append(mel)
            truths.append(truth)
            sures.append(sure)
        return {
            "mel": np.stack(mels).astype(np.float32),
            "truth": np.stack(truths).astype(np.float32),
            "sure": np.stack(sures).astype(np.float32),
        }

    def sample(self, talk: Talk, frames: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """(80, M) augmented mel, (frames, K) truth and (frames,) weight of a random part of a clip."""
        strength = self.options.augment
        speed = float(np.exp(rng.normal(0, 0.06 * strength)))
        first = float(rng.uniform(-0.2 * frames, max(len(talk) - 0.8 * frames * speed, 0)))
        at = first + np.arange(frames) * speed
        low = np.clip(np.floor(at).astype(int), 0, len(talk) - 1)
        high, part = np.minimum(low + 1, len(talk) - 1), (at - np.floor(at))[:, None]
        truth = talk.truth[low] * (1 - part) + talk.truth[high] * part
        sure = talk.sure[low] & talk.sure[high] & (at >= 0) & (at <= len(talk) - 1)
        columns = 2 * int(np.ceil(frames * COLUMNS / 2)) + PHRASE
        mel = cut(talk.mel, round(first * COLUMNS), int(np.ceil(columns * speed)) + 2)
        mel = soundvary.warp(mel, float(np.exp(rng.normal(0, 0.06 * strength))), speed)[:, :columns]
        if rng.random() < self.options.silence:
            mel, truth = hush(mel, truth, rng)
        return soundvary.vary(mel, rng, strength), truth, sure

    # ---- losses

    def step(self, batch: dict[str, Tensor], optimize: Optimize) -> dict[str, float | Tensor]:
        raw = self.live["articulation"](batch["mel"], raw=True)
        with torch.autocast(raw.device.type, enabled=False):
            out = self.losses(raw.float(), batch["truth"], batch["sure"])
        optimize(self.product, out["loss"])
        return {k: v.detach() for k, v in out.items()}

    def losses(self, raw: Tensor, truth: Tensor, sure: Tensor) -> dict[str, Tensor]:
        """raw (N, K, M // 2 - 39), 40 a second; truth (N, T, K), sure (N, T)."""
        o, frames = self.options, truth.shape[1]
        columns = torch.from_numpy(np.round(np.arange(frames) * COLUMNS / 2).astype(np.int64)).to(raw.device)
        made = raw[..., columns].transpose(1, 2)
        weight = self.weight.to(raw.device)
        total = sure.sum().clamp(min=1)
        # Closed lips are short and rare, and missing ones are conspicuous: give them more weight.
        near = 1 + o.closure * 2 * torch.exp(-((truth[..., 0] / 0.4) ** 2))
        each = F.smooth_l1_loss(made, truth, reduction="none", beta=0.5) * weight
        distance = ((each[..., 0] * near + each[..., 1:].sum(-1)) * sure).sum() / total / len(weight)
        both = sure[:, 1:] * sure[:, :-1]
        change = F.smooth_l1_loss(made.diff(dim=1), truth.diff(dim=1), reduction="none", beta=0.25) * weight
        velocity = (change.mean(-1) * both).sum() / both.sum().clamp(min=1)
        agreement = 1 - correlation(made[..., 0], truth[..., 0], sure).mean()
        life = F.relu(liveliness(truth[..., 0], sure) - liveliness(made[..., 0], sure)).mean()
        loss = distance + o.velocity * velocity + o.agreement * agreement + o.life * life
        return {"loss": loss, "distance": distance, "velocity": velocity, "agreement": agreement, "life": life}

    # ---- held-out figures

    def raw(self, talk: Talk, device: torch.device) -> Array:
        """(T, K) the network's predictions for a clip, before calibration."""
        return predict(self.modules["articulation"], talk.mel, len(talk), device)

    def validate(self, device: torch.device) -> dict[str, float]:
        tuning = [(t, self.raw(t, device)) for t in self.tuning]
        calibrate(self.modules["articulation"], tuning)
        figures = {f"tuning_{k}": v for k, v in self.judge(tuning).items()}
        figures.update(self.judge([(t, self.raw(t, device)) for t in self.held]))
        return figures

    def judge(self, made: list[tuple[Talk, Array]]) -> dict[str, float]:
        """Means over people: correlation of the opening with the real one, share of clips whose lag of best correlation
        is at most a frame, spread (calibrated and raw) and second difference relative to the real ones', correlation of
        the width."""
        net: Any = self.modules["articulation"]
        rows: dict[str, list[list[float]]] = {}
        for talk, raw in made:
            if talk.sure.sum() < 20:
                continue
            with torch.no_grad():
                out = net.calibrated(torch.from_numpy(raw).to(net.unit.device).float()).cpu().numpy()
            a, b = out[talk.sure, 0], talk.truth[talk.sure, 0]
            lag = best_lag(out[:, 0], talk.truth[:, 0], talk.sure)
            jump = np.abs(np.diff(a, 2)).mean() / max(np.abs(np.diff(b, 2)).mean(), 1e-3)
            rows.setdefault(talk.identity, []).append(
                [corr(a, b), float(abs(lag) <= 1), a.std() / max(b.std(), 0.1), raw[talk.sure, 0].std() / b.std(), jump]
                + [corr(out[talk.sure, 1], talk.truth[talk.sure, 1])]
            )
        mean = np.mean([np.median(r, 0) if len(r) > 2 else np.mean(r, 0) for r in rows.values()], 0)
        names = ("correlation", "lag_within_1", "spread", "spread_raw", "jumps", "width_correlation")
        return dict(zip(names, mean.tolist(), strict=True))

    def export(self, path: Path, figures: dict[str, float]) -> None:
        o = self.options
        card = {"task": "articulation", "figures": figures, "recipe": self.recipe.options, "license": LICENSE}
        options = {"width": o.width, "coefficients": o.coefficients}
        checkpoints.save(path, self.modules["articulation"], "articulation", options, card, half=False)


def tuned(identity: str, share: float) -> bool:
    """Whether a person is kept for tuning: decided by the name alone, independently of ``prepare.held_out``."""
    return held_out(identity + "#", share)


def load(o: ArticulationOptions, apart: list[str]) -> tuple[Space, list[Talk]]:
    """The space of articulation, learned from the people to train on, and all clips in it. Raises InputError."""
    found = sorted(Path(o.labels).glob("*.npz"))
    found = [p for p in found if p.stem not in o.exclude and p.stem.split("__")[0] not in o.exclude]
    raw = {p.stem: meshes.load(p) for p in found}
    raw = {n: r for n, r in raw.items() if (r[1] > SURE).sum() >= talking.FPS}
    if not raw:
        raise InputError(f"no usable labels in {o.labels}; prepare {o.data} first")
    by: dict[str, list[str]] = {}
    for name in raw:
        by.setdefault(name.split("__")[0], []).append(name)
    seen = {n: np.nan_to_num(m.astype(np.float64)) for n, (m, _, _) in raw.items()}
    template = mouthspace.face(np.concatenate([seen[n[0]][raw[n[0]][1] > SURE][::10] for n in by.values()]))
    bodies = {n: articulation.upright(m, template) for n, m in seen.items()}
    people: dict[str, tuple[Array, Person]] = {}
    for identity, names in by.items():
        all_ = np.concatenate([bodies[n][raw[n][1] > SURE] for n in names])
        people[identity] = (all_, mouthspace.measure(all_))
    taught = {i: p for i, p in people.items() if i not in apart and not tuned(i, o.tuning)}
    space = mouthspace.learn(template, taught, o.coefficients)
    pairs = mouthspace.mirror(template)
    talks = []
    for name, (_, sure, wav) in raw.items():
        identity = name.split("__")[0]
        person = people[identity][1]
        truth = np.clip(mouthspace.coefficients(bodies[name], person, space, pairs), -8, 8)
        mel = audio.mel_spectrogram(wav.astype(np.float32) / 32768)
        shift = o.shifts.get(name, o.shifts.get(identity, 0.0))
        if shift:
            mel = cut(mel, round(shift * COLUMNS), mel.shape[1])
        talks.append(Talk(name, identity, mel, truth, sure > SURE, person))
    return space, talks


def cut(mel: Array, first: int, count: int) -> Array:
    """(80, count) columns from ``first`` on; silence beyond the ends."""
    out = np.full((len(mel), count), audio.SILENCE, np.float32)
    a, b = max(first, 0), min(first + count, mel.shape[1])
    if a < b:
        out[:, a - first : b - first] = mel[:, a:b]
    return out


def hush(mel: Array, truth: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The sample with silence from a random time on, up to it, or throughout, during which the mouth is closed."""
    columns, frames = mel.shape[1], len(truth)
    level = float(rng.uniform(-4, -2.2))
    quiet = np.clip(soundvary.noise((len(mel), columns), level, rng), -4, 4) if rng.random() < 0.7 else None
    edge = int(rng.integers(-frames // 2, frames))
    side = bool(rng.random() < 0.5)
    here = np.arange(columns) - PHRASE // 2 >= edge * COLUMNS
    fade = np.clip((np.arange(frames) - edge) / 3, 0, 1)  # 120 ms
    if not side:
        here, fade = ~here, 1 - np.clip((np.arange(frames) - edge + 3) / 3, 0, 1)
    silent = np.full_like(mel, audio.SILENCE) if quiet is None else quiet
    return np.where(here, silent, mel), truth * (1 - fade)[:, None]


def predict(net: Any, mel: Array, frames: int, device: torch.device) -> Array:
    """(frames, K) raw coefficients of a clip whose frame f follows from the 80 columns from 3.2 f on."""
    start = np.floor(np.arange(frames) * COLUMNS + 1e-6).astype(int)
    out = []
    for odd in (0, 1):  # the network's output has a stride of two columns
        x = torch.from_numpy(cut(mel, odd, int(start[-1]) + PHRASE + 2))[None].to(device)
        with torch.no_grad():
            out.append(net.sequence(x)[0].float().cpu().numpy())
    return np.stack([out[s % 2][:, s // 2] for s in start])


def calibrate(net: Any, made: list[tuple[Talk, Array]]) -> None:
    """Set the network's curve (quantile mapping) and scale by predictions for people, who have equal weights."""
    count: dict[str, int] = {}
    for talk, _ in made:
        count[talk.identity] = count.get(talk.identity, 0) + int(talk.sure.sum())
    weight = np.concatenate([np.full(int(t.sure.sum()), 1 / count[t.identity]) for t, _ in made])
    said = np.concatenate([r[t.sure] for t, r in made])
    real = np.concatenate([t.truth[t.sure] for t, _ in made])
    level = np.concatenate([[0.0, 0.02], np.linspace(0.06, 0.94, KNOTS - 5), [0.97, 0.99, 0.998]])
    start, goal = quantiles(said[:, 0], weight, level), np.maximum(quantiles(real[:, 0], weight, level), 0)
    start = np.maximum.accumulate(start + np.arange(KNOTS) * 1e-3)
    net.curve.copy_(torch.from_numpy(np.stack([start, np.maximum.accumulate(goal)])))
    spread = [np.sqrt((weight[:, None] * (x - (weight / weight.sum()) @ x) ** 2).sum(0)) for x in (real, said)]
    net.scale.copy_(torch.from_numpy(np.clip(spread[0] / np.maximum(spread[1], 1e-3), 1.0, 1.6)))


def quantiles(values: Array, weight: Array, level: Array) -> Array:
    """Weighted quantiles of (N,) values at levels in [0, 1]."""
    order = np.argsort(values)
    share = np.cumsum(weight[order]) - weight[order] / 2
    return np.asarray(np.interp(level, share / weight.sum(), values[order]))


def correlation(a: Tensor, b: Tensor, sure: Tensor) -> Tensor:
    """(N,) correlation of (N, T) sequences where they are sure; 1 where ``b`` hardly moves."""
    n = sure.sum(1, keepdim=True).clamp(min=1)
    a = (a - (a * sure).sum(1, keepdim=True) / n) * sure
    b = (b - (b * sure).sum(1, keepdim=True) / n) * sure
    power = (b**2).sum(1)
    value = (a * b).sum(1) / torch.sqrt((a**2).sum(1) * power + 1e-2)
    return torch.where(power > 0.05 * n[:, 0], value, torch.ones_like(value))


def liveliness(a: Tensor, sure: Tensor) -> Tensor:
    """(N,) log of the mean second difference of (N, T) sequences over their spread; low for mumbling mouths."""
    n = sure.sum(1).clamp(min=1)
    mean = (a * sure).sum(1, keepdim=True) / n[:, None]
    spread = torch.sqrt((((a - mean) * sure) ** 2).sum(1) / n + 0.04)
    all_three = sure[:, 2:] * sure[:, 1:-1] * sure[:, :-2]
    jumps = (a.diff(n=2, dim=1).abs() * all_three).sum(1) / all_three.sum(1).clamp(min=1)
    return torch.log((jumps + 0.05) / spread)


def corr(a: Array, b: Array) -> float:
    """Pearson's correlation; 0 where one is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else 0.0


def best_lag(made: Array, real: Array, sure: Array) -> int:
    """Frames by which the real opening lags the predicted one, at the best correlation."""
    scores = {}
    for lag in range(-LAGS, LAGS + 1):
        a, b = (made[: len(made) - lag], real[lag:]) if lag >= 0 else (made[-lag:], real[:lag])
        keep = sure[lag:] if lag >= 0 else sure[:lag]
        scores[lag] = corr(a[keep], b[keep]) if keep.sum() > 10 else -1.0
    return max(scores, key=lambda k: scores[k])
