"""The one place that parses: a YAML file and `a.b=value` arguments become one frozen `Config`.

One file describes a whole experiment; each verb reads its own section and those it shares. Keys are the fields of
the settings dataclasses that stand beside the code they configure; the docstring under each field says what it means.
None of them needs torch or Ray, whose imports take seconds: a mistake is answered at once, also where they are missing.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.doctor.settings import DoctorSettings
from jobs.pairs.settings import AnimateJobSettings, EvaluateSettings, LatencySettings
from jobs.rebuild.settings import RebuildSettings
from jobs.training.settings import (
    AlignJobSettings,
    AlignmentTableSettings,
    DistillSettings,
    PretrainSettings,
    TrainSettings,
)
from pipelines.benchmark_sets.named_settings import NamedSetSettings
from pipelines.curation import CurateSettings
from pipelines.shards.settings import EncodeSettings
from pipelines.user_yaml import DEEPEST, parse_yaml, read_yaml
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS
from stableanimator.errors import ConfigError
from stableanimator.limits.checks import CollectionId, LimitError, Title, hints_of, hold, shown
from stableanimator.limits.places import Place, StorePath
from stableanimator.models.settings import EncoderSettings, ModelSettings
from stableanimator.perception.settings import PerceptionSettings
from stableanimator.redaction import WAY_OUT, holds_credentials, redacted_tree

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_UNKNOWN_KEY = {"extra_forbidden", "unexpected_keyword_argument"}
_MOST_FILES = 10
"""That extend one another."""


class Config(BaseModel):
    """Everything that the jobs of one experiment need."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: Title
    """Name of the MLflow experiment, whose runs are those of its jobs."""
    line: Title = "main"
    """Name of a line of experiments in it, from curation to evaluation, that is compared with other lines: part of its
    runs' names, and a tag by which MLflow's page groups and filters them."""
    root: StorePath
    """Where datasets, checkpoints and predictions live: an absolute path or a URI."""
    release: CollectionId = "latest"
    """Which release `encode` and `align` read: an id, its first characters, or the newest."""
    perception: PerceptionSettings | None = None
    """InsightFace and DWPose weights. Without them only measures that need none can run."""
    curate: CurateSettings | None = None
    encoders: EncoderSettings = Field(default_factory=EncoderSettings)
    pretrain_encoders: PretrainSettings = Field(default_factory=PretrainSettings)
    distill_decoder: DistillSettings = Field(default_factory=DistillSettings)
    encode: EncodeSettings = Field(default_factory=EncodeSettings)
    align: AlignJobSettings = Field(default_factory=AlignJobSettings)
    alignment_table: AlignmentTableSettings = Field(default_factory=AlignmentTableSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    benchmark: NamedSetSettings | None = None
    """Videos from which `benchmark` builds one of the papers' sets."""
    train: TrainSettings = Field(default_factory=TrainSettings)
    animate: AnimateJobSettings = Field(default_factory=AnimateJobSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    latency: LatencySettings = Field(default_factory=LatencySettings)
    rebuild: RebuildSettings = Field(default_factory=RebuildSettings)
    doctor: DoctorSettings = Field(default_factory=DoctorSettings)

    @model_validator(mode="after")
    def _checked(self) -> Config:
        """As every settings class is by itself."""
        hold(self)
        return self


def load(path: str, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, expand `${NAME}`, apply `a.b=value` overrides, and check everything.

    A file may begin with `extends: other.yaml`: it then says only what differs from the other file.

    Raises:
        ConfigError: one line that names the file or key, what is wrong with it, and what would be right.
    """
    tree = _read(Path(path), ())
    for override in overrides:
        _apply(tree, override)
    try:
        config = Config.model_validate(_with_variants(_with_presets(_expand(tree, ""))))
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error
    _check_credentials(config.model_dump(mode="json"))
    _check_tiny(config)
    return config


def _check_tiny(config: Config) -> None:
    """A variant that takes its gradients from a small decoder needs one."""
    for name, variant in config.animate.variants.items():
        tiny = variant.face_optimisation and variant.hjb.decoder == "tiny"
        if tiny and config.encoders.tiny_decoder is None:
            raise ConfigError(
                f"animate.variants.{name}.hjb.decoder is tiny, and encoders.tiny_decoder names none; give the folder "
                "of a small decoder (TAESD for Stable Video Diffusion, jobs.distill_decoder makes others), or set exact"
            )


def _read(path: Path, readers: tuple[str, ...]) -> dict[str, Any]:
    """The settings of a file on top of those of the file that it `extends`, which is named relative to it."""
    named = f"--config {path}" if str(path).isprintable() else f"--config {shown(str(path))}"
    real = os.path.abspath(path)
    if real in readers:
        raise ConfigError(f"{named} extends itself; take the key extends out of one of the files")
    if len(readers) == _MOST_FILES:
        raise ConfigError(f"{named}: more than {_MOST_FILES} files extend one another; write some of them as one")
    tree = read_yaml(path, named)
    if not isinstance(tree, dict):
        raise ConfigError(f"{named} holds no settings; it must be a mapping such as `experiment: name`")
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError(f"{named}: extends is {shown(base)}; it must be the path of a YAML file")
    return _on_top(_read(path.parent / base, (*readers, real)), tree)


_PRESET = "preset"


def _on_top(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `tree`; sections are merged, anything else is replaced, and a section that names a
    preset too: a preset is all of its numbers."""
    merged = dict(base)
    for name, value in tree.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict) and _PRESET not in value:
            merged[name] = _on_top(below, value)
        else:
            merged[name] = value
    return merged


def _with_presets(tree: dict[str, Any]) -> dict[str, Any]:
    """`hjb: {preset: NAME}` of `animate.settings` and of every variant, as the numbers that it stands for."""
    animate = tree.get("animate")
    if not isinstance(animate, dict):
        return tree
    sections = {"settings": animate.get("settings"), **_below(animate.get("variants"), "variants.")}
    for key, section in sections.items():
        hjb = section.get("hjb") if isinstance(section, dict) else None
        if not isinstance(hjb, dict) or _PRESET not in hjb:
            continue
        name = hjb.pop(_PRESET)
        if not isinstance(name, str) or name not in FACE_OPTIMISATION_PRESETS:
            known = ", ".join(FACE_OPTIMISATION_PRESETS)
            raise ConfigError(f"setting 'animate.{key}.hjb.preset': {shown(name)} is none of {known}")
        section["hjb"] = dataclasses.asdict(FACE_OPTIMISATION_PRESETS[name]) | hjb
    return tree


def _below(sections: Any, above: str) -> dict[str, Any]:
    return {f"{above}{name}": each for name, each in sections.items()} if isinstance(sections, dict) else {}


def _with_variants(tree: dict[str, Any]) -> dict[str, Any]:
    """Each of `animate.variants`, which say what differs, on top of `animate.settings`."""
    animate = tree.get("animate")
    if not isinstance(animate, dict) or "variants" not in animate:
        return tree
    variants, shared = animate["variants"], animate.get("settings") or {}
    if not isinstance(variants, dict) or not variants:
        raise ConfigError(
            "setting 'animate.variants': name at least one, as `name: {what differs in animate.settings}`"
        )
    for name, differs in variants.items():
        if differs is not None and not isinstance(differs, dict):
            key = f"animate.variants.{name}"
            raise ConfigError(f"setting {key!r}: must hold settings, as `key: value` (got {shown(differs)})")
    if not isinstance(shared, dict):
        return tree  # which is refused for that
    resolved = {name: _on_top(shared, differs or {}) for name, differs in variants.items()}
    return tree | {"animate": animate | {"variants": resolved}}


def dump(config: Config) -> dict[str, Any]:
    """The resolved settings as plain YAML types, without secrets: what is printed and recorded."""
    shown: dict[str, Any] = redacted_tree(resolved(config))
    return shown


def resolved(config: Config) -> dict[str, Any]:
    """The same with what a job needs to run, as tokens in URLs of sources: what is sent with it.

    Of a variant it holds what differs, so that whoever reads it and replaces a shared setting changes all variants.
    """
    tree = config.model_dump(mode="json")
    animate = tree["animate"]
    animate["variants"] = {name: _differs(animate["settings"], each) for name, each in animate["variants"].items()}
    return tree


def _differs(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """What of `tree` is not as in `base`: what `_on_top` needs to make the one of the other."""
    return {
        name: _differs(base[name], value) if isinstance(value, dict) else value
        for name, value in tree.items()
        if value != base[name]
    }


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"argument {shown(override)} is not of the form section.key=value")
    *parents, last = key.split(".")
    if len(parents) > DEEPEST:
        raise ConfigError(f"argument {shown(override)}: no setting lies {len(parents)} levels deep")
    for name in parents:
        child = tree.get(name)
        if child is None:
            child = tree[name] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"argument {shown(override)}: {shown(name)} holds a value, not settings")
        tree = child
    if last == _PRESET:
        tree.clear()
    tree[last] = parse_yaml(text, f"argument {shown(override)}: the value")


def _variable(name: str, key: str) -> str:
    value = os.environ.get(name)
    if value:
        return value
    if name == "SA_ROOT":
        return str(Path.home() / "stableanimator")
    real_data = Path(__file__).resolve().parents[3] / "shared"
    if name == "SA_REAL_DATA" and real_data.is_dir():
        return str(real_data)
    raise ConfigError(f"{key}: the environment variable {name} is not set; set it, or write the value itself")


def _expand(value: Any, key: str) -> Any:
    """Replace `${NAME}` in every string by the environment variable."""
    if isinstance(value, dict):
        return {name: _expand(child, f"{key}.{name}".lstrip(".")) for name, child in value.items()}
    if isinstance(value, list):
        return [_expand(child, key) for child in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _variable(match[1], key), value)
    return value


def _fields(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _settings_at(location: tuple[int | str, ...]) -> Any:
    """The settings class that a validation error's location lies in."""
    kind: Any = Config
    for name in location:
        if not isinstance(name, str) or name not in _fields(kind):
            continue
        annotation = typing.get_type_hints(kind)[name]
        candidates = [annotation, *typing.get_args(annotation)]
        kind = next((each for each in candidates if _fields(each)), kind)
    return kind


def _explain(error: ValidationError) -> str:
    """The first fault in one line: key, fault, and the nearest key that exists."""
    faults = error.errors()
    unknown = [fault for fault in faults if fault["type"] in _UNKNOWN_KEY]
    fault = (unknown or faults)[0]
    # A union's location also names the member that was tried; keys alone are what a user wrote.
    location = tuple(
        part
        for place, part in enumerate(fault["loc"])
        if fault["loc"][:place] == ("animate", "variants") or not (isinstance(part, str) and part[:1].isupper())
    )
    key = ".".join(str(part) for part in location)
    if unknown:
        known = _fields(_settings_at(location[:-1]))
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown setting {shown(key)}; {hint}"
    limit = fault.get("ctx", {}).get("error")
    if isinstance(limit, LimitError):
        return f"setting {f'{key}.{limit.where}'.lstrip('.')!r} {limit.fault}"
    is_section = fault["type"] in {"dataclass_type", "model_type"}
    message = "must hold settings, as `key: value`" if is_section else fault["msg"].removeprefix("Value error, ")
    value = "" if fault["type"] == "missing" or isinstance(fault["input"], dict) else f" (got {shown(fault['input'])})"
    return f"setting {shown(key)}: {message}{value}"


def paths_of(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Setting and value of every field that names a file or folder and nothing else, however deep; of a list each
    entry."""
    kind: Any = type(settings)
    hints = hints_of(kind)
    for name in _fields(kind):
        value, where = getattr(settings, name), f"{key}.{name}".lstrip(".")
        if dataclasses.is_dataclass(value):
            yield from paths_of(value, where)
        elif _names_a_path(hints[name]):
            yield from ((where, path) for path in ([value] if isinstance(value, str) else value or ()))


def _check_credentials(value: Any, key: str = "") -> None:
    """Refuse a key or password in a URI of any filesystem. URLs of sources may be signed; they lose it where they are
    kept (`pipelines.crawling.source_lists`)."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_credentials(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for each in value:
            _check_credentials(each, key)
    elif isinstance(value, str) and not value.startswith(("http://", "https://")) and holds_credentials(value):
        raise ConfigError(f"setting {key!r}: {value} holds credentials, {WAY_OUT}")


def _names_a_path(annotation: Any) -> bool:
    if isinstance(annotation, Place):
        return annotation.named is None
    return any(map(_names_a_path, (*typing.get_args(annotation), *getattr(annotation, "__metadata__", ()))))
