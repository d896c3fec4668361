"""Edits of a film as job files and back: EDL, FCPXML and OTIO, read and written with OpenTimelineIO."""
