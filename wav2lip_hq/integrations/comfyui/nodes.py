"""The nodes, by ComfyUI's V3 interface. Imported by ComfyUI alone, which has ``comfy_api``."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import comfy.utils
from comfy_api.latest import ComfyExtension, InputImpl, Types, io
from PIL import Image

from wav2lip_hq.config import preset_names
from wav2lip_hq.integrations.comfyui.synthesis import Synthesized, lipsync
from wav2lip_hq.run_options import EXTEND
from wav2lip_hq.types import Array

CATEGORY = "video/lip-sync"
PREVIEW = 512  # px
DISCLOSE = "Ask the people you dub, and say that the lip movement is synthetic."


class LipSyncImages(io.ComfyNode):
    """Images and speech in, images and a mask out."""

    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="Wav2LipHQ_Images",
            display_name="Lip-sync images",
            category=CATEGORY,
            description=f"The images with a mouth that says the speech, and the mask of what was changed. {DISCLOSE}",
            inputs=[
                io.Image.Input("images", tooltip="The footage, frame by frame."),
                io.Audio.Input("audio", tooltip="The speech."),
                io.Float.Input("fps", default=25.0, min=1.0, max=1000.0, step=0.001, tooltip="Images a second."),
                *_options(),
            ],
            outputs=[io.Image.Output(display_name="images"), io.Mask.Output(display_name="mask"),
                     io.String.Output(display_name="report")],
        )  # fmt: skip

    @classmethod
    def execute(cls, images: Any, audio: Any, fps: float, **options: Any) -> Any:
        made = _made(images, audio, fps, options)
        return io.NodeOutput(made.images, made.mask, made.report)


class LipSyncVideo(io.ComfyNode):
    """Video and speech in, video, images and a mask out."""

    @classmethod
    def define_schema(cls) -> Any:
        return io.Schema(
            node_id="Wav2LipHQ_Video",
            display_name="Lip-sync video",
            category=CATEGORY,
            description=f"The video with a mouth that says the speech, which is its sound then. {DISCLOSE}",
            inputs=[
                io.Video.Input("video", tooltip="The footage; its frame rate is kept."),
                io.Audio.Input("audio", tooltip="The speech."),
                *_options(),
            ],
            outputs=[io.Video.Output(display_name="video"), io.Image.Output(display_name="images"),
                     io.Mask.Output(display_name="mask"), io.String.Output(display_name="report")],
        )  # fmt: skip

    @classmethod
    def execute(cls, video: Any, audio: Any, **options: Any) -> Any:
        parts = video.get_components()
        rate = Fraction(parts.frame_rate)
        made = _made(parts.images, audio, float(rate), options)
        components = Types.VideoComponents(images=made.images, audio=audio, frame_rate=rate)
        return io.NodeOutput(InputImpl.VideoFromComponents(components), made.images, made.mask, made.report)


def _options() -> list[Any]:
    """Inputs that both nodes have."""
    return [
        io.Combo.Input("preset", options=preset_names(), default="default", tooltip="How the mouth is made."),
        io.String.Input(
            "faces",
            default="largest",
            tooltip="Who speaks: largest, all, a number, left-to-right:N, right-to-left:N or at=X,Y.",
        ),
        io.Combo.Input(
            "extend",
            options=list(EXTEND),
            default="stop",
            tooltip="When the speech is longer than the footage; stop keeps the number of frames.",
        ),
        io.Float.Input(
            "sync_offset",
            default=0.0,
            min=-2000.0,
            max=2000.0,
            step=1.0,
            tooltip="By how many ms later the mouth follows the sound.",
        ),
        io.String.Input(
            "settings",
            default="",
            multiline=True,
            optional=True,
            tooltip="Options of the stages, one a line: articulate.expression=1.2",
        ),
    ]


def _made(images: Any, audio: Any, fps: float, given: dict[str, Any]) -> Synthesized:
    """Run, with progress and a preview in the node."""
    bar = comfy.utils.ProgressBar(len(images))

    def progress(done: int, total: int, frame: Array) -> None:
        bar.update_absolute(done, total, ("JPEG", Image.fromarray(frame), PREVIEW))

    lines = str(given.get("settings") or "").splitlines()
    settings = tuple(line.strip() for line in lines if line.strip())
    return lipsync(
        images,
        audio,
        fps,
        preset=given["preset"],
        settings=(f"track.faces={given['faces']}", *settings),
        on_progress=progress,
        extend=given["extend"],
        sync_offset=float(given["sync_offset"]),
    )


class Extension(ComfyExtension):
    """All nodes."""

    async def get_node_list(self) -> list[Any]:
        """The node classes."""
        return [LipSyncImages, LipSyncVideo]


def extension() -> Extension:
    """For ``comfy_entrypoint``."""
    return Extension()
