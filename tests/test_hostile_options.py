"""Every option with absurd values: accepted, or refused as an OptionError, never anything else."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wav2lip_hq import options
from wav2lip_hq.cli import build_parser, main
from wav2lip_hq.config import preset_names, set_options
from wav2lip_hq.errors import OptionError
from wav2lip_hq.pipeline import HQPipeline
from wav2lip_hq.run_options import RunOptions
from wav2lip_hq.stages import STAGES
from wav2lip_hq.training.tasks import option_classes

NASTY = [
    "", " ", "nan", "-inf", "1e999", "-1", "0", "9" * 5000, "0x", "[1", "[[", "{", "{a: [", "&a [*a]", "*a", "!!int x",
    "!!python/object:os.system x", "!!timestamp x", "!!binary x", "? [a]", "\0", "\ud800", "\x1b[2J", "a" * 5000,
    "[" * 3000, "1/0", "1e-999999999", "../../x", "/dev/zero", "os:system", "none", "~", "~nobody/x", "true",
    "[nan, nan]", "%s%n{0}", "2024-01-01",
]  # fmt: skip
TEXT = st.sampled_from(NASTY) | st.text(max_size=30) | st.floats().map(str) | st.integers().map(str)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=5) | st.complex_numbers() | TEXT
VALUES = st.recursive(ATOMS, lambda v: st.lists(v, max_size=4) | st.dictionaries(TEXT, v, max_size=3), max_leaves=6)
KINDS: dict[str, Any] = {**STAGES, "run": RunOptions, **{f"train.{k}": v for k, v in option_classes().items()}}
OPTIONS = [(kind, one.name) for kind, found in KINDS.items() for one in options.listing(found)]

few = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)  # the same values every time


@pytest.mark.parametrize(("kind", "name"), OPTIONS, ids=lambda v: str(v))
@few
@given(value=VALUES)
def test_values_from_python_and_yaml(kind: str, name: str, value: Any) -> None:
    for take in (lambda: options.convert(KINDS[kind], name, value), lambda: KINDS[kind](**{name: value})):
        try:
            take()
        except OptionError as error:
            assert len(str(error)) < 2000
        except TypeError as error:
            assert "required" in str(error)  # of a dataclass with others that have to be given


@pytest.mark.parametrize("name", [o.name for o in options.listing(RunOptions)])
@few
@given(value=TEXT)
def test_flags_of_a_run(name: str, value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As one types them; the footage does not exist, so nothing is done whatever they say."""
    folder = tmp_path_factory.getbasetemp()
    paths = [str(folder / n) for n in ("gone.mp4", "gone.wav", "out.mp4")]
    try:
        code = main(["run", *paths, f"--{name.replace('_', '-')}={value}"])
    except SystemExit as ended:  # argparse: a flag that takes no value
        code = int(str(ended.code))
    assert code in (2, 3)


@pytest.mark.parametrize("preset", ["default", "generated"])
@settings(few, max_examples=100)
@given(data=st.data())
def test_settings_of_stages(preset: str, data: st.DataObject) -> None:
    stages = HQPipeline(preset).stages
    stage = data.draw(st.sampled_from(stages))
    name = data.draw(st.sampled_from([o.name for o in options.listing(stage)]) | TEXT)
    try:
        set_options(stages, [f"{stage.name}.{name}={data.draw(TEXT)}", data.draw(TEXT | st.just(f"{stage.name}.x=1"))])
    except OptionError as error:
        assert len(str(error)) < 8000


RUN = ["run", "gone.mp4", "gone.wav", "out.mp4"]
FLAGS = "preset device precision batch-size replace insert-after insert-before without preview explain".split()
COMMANDS = [
    *([*RUN, f"--{flag}"] for flag in FLAGS),
    ["run", "gone.mp4", "out.mp4", "--audio"],
    [*RUN[:3], "--"],
    [*RUN[:2], "--"],
    ["survey"],
    ["survey", "gone.mp4", "--out"],
    ["options"],
    ["checkpoints", "verify"],
    ["checkpoints", "import"],
    ["checkpoints", "import", "gone", "--name"],
    ["checkpoints", "fetch"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c[:1] + c[-1:]))
@few
@given(value=TEXT)
def test_what_else_is_typed(command: list[str], value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        patch.setenv("WAV2LIP_HQ_CHECKPOINTS", str(tmp_path_factory.getbasetemp() / "checkpoints"))
        joined = (
            [*command[:-1], f"{command[-1]}={value}"] if command[-1].startswith("--") and len(command[-1]) > 2 else None
        )
        try:
            code = main(joined or [*command, value])
        except SystemExit as ended:
            code = int(str(ended.code))
    assert code in (0, 2, 3, 4, 5)


def test_every_flag_that_takes_a_number_refuses_other_text() -> None:
    """Walks all commands: argparse says so in one line."""

    def walk(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
        found = [parser]
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [p for one in action.choices.values() for p in walk(one)]
        return found

    seen = 0
    for parser in walk(build_parser()):
        for action in parser._actions:
            if action.type not in (None, str) and action.option_strings:
                for text in NASTY:
                    try:
                        parser._get_value(action, text)
                    except argparse.ArgumentError:
                        seen += 1
    assert seen > 100 and "default" in preset_names()
