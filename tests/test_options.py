"""Options documented in their fields: what is listed, what is refused, how text becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from wav2lip_hq.errors import OptionError
from wav2lip_hq.options import check, convert, described, listing, make, markdown, option, text, update


@described
@dataclass(frozen=True)
class Fade:
    """A fade."""

    name: ClassVar[str] = "fade"

    seconds: float = option(0.5, "How long it takes; longer is softer.", unit="s", low=0, high=10)
    share: float = option(0.5, "How much of it.", above=0, below=1)
    shape: str = option("linear", "Its shape.", choices=("linear", "smooth"))
    times: int = option(1, "How often.", low=1)
    crf: int | None = option(None, "Quality.", low=0, high=51)
    pads: tuple[float, float] = option((0.0, 0.1), "Room.", low=-1, high=2)
    names: tuple[str, ...] = option((), "Names.")
    rate: Fraction | None = option(None, "Rate.", above=0)
    where: Path | None = option(None, "Folder.")
    on: bool = option(True, "Whether.")
    kind: Literal["a", "b"] = option("a", "Which.")
    extra: dict[str, Any] = option(dict, "More.")
    call: Callable[[int], int] | None = None
    reach: float = option(1.0, "How far.", finite=False)
    twice: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Needy:
    source: str = option(MISSING, "What to read.")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("seconds", "2", 2.0),
        ("seconds", "1e-1", 0.1),
        ("seconds", 3, 3.0),
        ("times", 4.0, 4),
        ("crf", "none", None),
        ("crf", None, None),
        ("crf", "18", 18),
        ("pads", "0.1, 0.2", (0.1, 0.2)),
        ("pads", "[0.1, 0.2]", (0.1, 0.2)),
        ("pads", [1, 2], (1.0, 2.0)),
        ("names", "a,b", ("a", "b")),
        ("names", "", ()),
        ("rate", "30000/1001", Fraction(30000, 1001)),
        ("rate", 29.97, Fraction(2997, 100)),
        ("where", "/tmp", Path("/tmp")),
        ("on", "no", False),
        ("shape", "smooth", "smooth"),
        ("kind", "b", "b"),
        ("extra", {"x": 1}, {"x": 1}),
        ("extra", "{x: 1}", {"x": 1}),
        ("reach", "inf", float("inf")),
    ],
)
def test_text_and_yaml_become_the_fields_type(name, given, value):
    found = convert(Fade, name, given)
    assert found == value and type(found) is type(value)
    assert getattr(make(Fade, {name: given}), name) == value


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("seconds", "11", "fade.seconds is between 0 and 10 s, not '11'"),
        ("seconds", "nan", "fade.seconds is between 0 and 10 s"),
        ("seconds", float("inf"), "between"),
        ("seconds", "long", "fade.seconds is float, not 'long'"),
        ("seconds", True, "fade.seconds is float"),
        ("share", 1, "fade.share is more than 0 and less than 1"),
        ("share", 0, "more than 0"),
        ("shape", "smoth", "fade.shape is linear or smooth, not 'smoth'; did you mean 'smooth'"),
        ("times", "1.5", "fade.times is int, not '1.5'"),
        ("times", 0, "fade.times is at least 1, not 0"),
        ("crf", "52", "between 0 and 51"),
        ("crf", "good", "fade.crf is int or None"),
        ("pads", "1", "tuple"),
        ("pads", "1,9", "between -1 and 2"),
        ("pads", "1,nan", "between -1 and 2"),
        ("rate", "0", "more than 0"),
        ("rate", "1/0", "Fraction"),
        ("rate", "nan", "Fraction"),
        ("on", "3", "fade.on is bool"),
        ("kind", "c", "not 'c'"),
        ("call", "os:abort", "fade.call is"),
        ("secnds", "1", "'fade' has no option 'secnds'; did you mean 'seconds'"),
        ("twice", "1", "no option 'twice'"),
    ],
)
def test_wrong_values_are_explained(name, given, message):
    with pytest.raises(OptionError) as caught:
        make(Fade, {name: given})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{"seconds": "1"}, {"seconds": 11}, {"seconds": float("nan")}, {"times": 1.0}, {"on": 1}, {"call": 3}],
)
def test_python_values_are_checked_without_guessing(values):
    with pytest.raises(OptionError):
        Fade(**values)


def test_python_values_are_kept_as_the_fields_type():
    made = Fade(seconds=1, pads=[0, 1], where="/tmp")  # type: ignore[arg-type]
    assert (made.seconds, made.pads, made.where) == (1.0, (0.0, 1.0), Path("/tmp"))
    assert isinstance(made.seconds, float) and isinstance(made.pads, tuple)


def test_numpy_numbers_are_numbers():
    assert Fade(seconds=np.float32(0.5), times=np.int64(2)) == Fade(seconds=0.5, times=2)


def test_values_set_together_do_not_depend_on_their_order():
    assert update(Fade(), {"times": "2", "seconds": "1"}) == update(Fade(), {"seconds": "1", "times": "2"})


def test_another_label_stands_before_the_name():
    with pytest.raises(OptionError, match="^job 3: seconds is between"):
        make(Fade, {"seconds": 99}, "job 3: ")


def test_a_listing_says_everything_about_an_option():
    by_name = {o.name: o for o in listing(Fade)}
    assert "twice" not in by_name
    seconds = by_name["seconds"]
    assert (seconds.type, seconds.default, seconds.allowed) == ("float", 0.5, "between 0 and 10 s")
    assert by_name["crf"].type == "int or None" and by_name["crf"].default_text == "none"
    assert by_name["shape"].allowed == "linear or smooth"
    assert {o.name: o.default for o in listing(Fade(times=3))}["times"] == 3
    assert listing(Needy)[0].default_text == "(required)"


def test_help_and_pages_show_the_same():
    assert "seconds: float; between 0 and 10 s; default 0.5" in text(Fade)
    assert "How long it takes; longer is softer." in str(Fade.__doc__) and str(Fade.__doc__).startswith("A fade.")
    assert "| `seconds` | float | `0.5` | between 0 and 10 s | How long it takes; longer is softer. |" in markdown(Fade)
