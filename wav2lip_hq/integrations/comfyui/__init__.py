"""A node pack for ComfyUI: lip-sync of images or video, with the mask of what was changed.

Install wav2lip_hq into ComfyUI's Python, then link this folder into ``custom_nodes``; see docs/integrations.md.
"""

from __future__ import annotations

from typing import Any


async def comfy_entrypoint() -> Any:
    """Called by ComfyUI: the extension with its nodes."""
    from wav2lip_hq.integrations.comfyui.nodes import extension

    return extension()


__all__ = ["comfy_entrypoint"]
