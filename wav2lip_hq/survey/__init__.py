"""The survey: facts about the whole footage, collected before any frame is rendered.

``collector`` makes one, ``table`` is what is known, ``facts`` what is kept of each face, ``files`` saves and loads,
``choice`` selects faces, ``sheet`` shows them.
"""

from .collector import Collector, survey_footage
from .files import footage_hash, load, save
from .shown import SurveyedTrack
from .table import Survey

__all__ = ["Collector", "Survey", "SurveyedTrack", "footage_hash", "load", "save", "survey_footage"]
