"""Where wav2lip_hq is used from other programs. Each is a module of its own, imported by that program alone."""
