"""The schema of a job file's row: types and ranges, checked with pydantic first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    create_model,
    model_validator,
)

from .. import options
from ..errors import OptionError
from ..options import suggestion
from ..run_options import RunOptions

# A batch measures and reports in its own way.
RUN_FIELDS = {f.name for f in fields(RunOptions)} - {"compare", "measure", "report"}


def _nameable(value: str) -> str:
    """Text that can be part of a file name."""
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("holds a character that no file name can hold")
    return value


def _listed(value: Any) -> Any:
    """``set`` as a list, however it was written."""
    if isinstance(value, Mapping):
        return [f"{name}={setting}" for name, setting in value.items()]
    return [value] if isinstance(value, str) else value


Text = Annotated[StrictStr, AfterValidator(_nameable)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=4096), AfterValidator(_nameable)]
Time = Annotated[StrictFloat, Field(allow_inf_nan=False)] | StrictInt | Text
Settings = Annotated[tuple[Text, ...], BeforeValidator(_listed)]


class SpanRow(BaseModel):
    """A segment: a piece of the footage with its own speech."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Time = Field(alias="in")
    end: Time = Field(alias="out")
    audio: Name
    who: Text | StrictInt = ""
    set: Settings = ()
    speech_start: Time | None = None
    speech_end: Time | None = None


class JobRow(BaseModel):
    """A job as written. The options of a run stand beside these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    face: Name
    output: Name
    audio: Name | None = None
    segments: tuple[SpanRow, ...] = ()
    who: Text | StrictInt = ""
    preset: Name = "default"
    set: Settings = ()
    metrics: StrictBool = False
    require_consent: StrictBool = False
    shot: StrictInt | None = None

    @model_validator(mode="after")
    def _speech(self) -> JobRow:
        if bool(self.segments) == bool(self.audio):
            raise OptionError("give either 'audio' for the whole clip or 'segments' with their own")
        return self


def _converted(kind: type, name: str) -> Any:
    """A field that an options dataclass describes, and checks."""
    return Annotated[Any, AfterValidator(lambda value: options.convert(kind, name, value, label=""))]


def job_row(own: type) -> type[JobRow]:
    """The schema of a job. own: the dataclass that describes ``part_seconds``."""
    more: dict[str, Any] = {name: (_converted(RunOptions, name), None) for name in sorted(RUN_FIELDS)}
    more["part_seconds"] = (_converted(own, "part_seconds"), None)
    return create_model("Row", __base__=JobRow, **more)


Row = TypeVar("Row", bound=BaseModel)


def checked(schema: type[Row], row: Any) -> Row:
    """A row validated by the schema. Raises OptionError that lists everything wrong with it."""
    if not isinstance(row, Mapping):
        raise OptionError(f"a job is a list of fields like 'face: clip.mp4', not '{_short(row)}'")
    if odd := [name for name in row if not isinstance(name, str)]:
        raise OptionError(f"the name of a field is text, not {_short(odd[0])}")
    try:
        return schema.model_validate(row)
    except ValidationError as error:
        first = {e["loc"][: 3 if e["loc"][:1] == ("segments",) else 1]: e for e in reversed(error.errors())}
        raise OptionError("; ".join(_said(schema, e) for e in reversed(first.values()))) from error


def names(schema: type[BaseModel]) -> list[str]:
    """The fields of a row as they are written."""
    return sorted(field.alias or name for name, field in schema.model_fields.items())


def _said(schema: type[BaseModel], error: Any) -> str:
    """One of pydantic's errors in plain words."""
    path = list(error["loc"]) or [""]
    inside = len(path) > 2 and path[0] == "segments"
    where = f"segment {path[1] + 1}: " if inside else ""
    field = _short(path[2] if inside else path[0])
    if error["type"] == "missing":
        return f"{where}'{field}' is missing"
    if error["type"] == "extra_forbidden":
        return f"{where}unknown field '{field}'{suggestion(field, names(SpanRow if inside else schema))}"
    if error["type"] == "value_error":  # our own message
        text = str(error["ctx"]["error"])
        return f"{where}{text}" if isinstance(error["ctx"]["error"], OptionError) else f"{where}'{field}' {text}"
    text = str(error["msg"]).removeprefix("Input ").replace("tuple", "list")
    text = text.replace("dictionary or instance of SpanRow", "list of fields like 'in: 1.5'")
    return f"{where}'{field}' {text}, not {_short(error['input'])}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) < 80 else f"{text[:76]} ..."
