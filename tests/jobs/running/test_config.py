"""A YAML file and arguments become settings; each mistake is one line that names the key."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile.yaml_texts import YAML_TEXTS
from jobs.running.config import Config, dump, load, resolved
from jobs.running.entry import described
from jobs.running.parameters import parameters
from jobs.running.resources import resources
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings
from stableanimator.errors import ConfigError
from stableanimator.limits.checks import LimitError, Range, hints_of
from stableanimator.models.settings import FrameRates, MicroConditions
from stableanimator.synthetic.script import ClipSettings

CONFIGS = Path(__file__).resolve().parents[3] / "jobs" / "configs"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("experiment: dance\nroot: /data/dance\nencode:\n  batch: 4\n")
    return path


def test_arguments_replace_values_of_the_file(config: Path) -> None:
    loaded = load(str(config), ["encode.batch=2", "train.loop.engine.cpus_per_worker=3", "root=/elsewhere"])
    assert (loaded.encode.batch, loaded.train.loop.engine.cpus_per_worker, loaded.root) == (2, 3, "/elsewhere")


def test_numbers_in_scientific_notation_are_numbers(config: Path) -> None:
    # PyYAML reads 1e-5 as a string.
    assert load(str(config), ["train.loop.learning_rate=1e-5"]).train.loop.learning_rate == 1e-5


def test_variables_are_expanded(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCE", "/mnt/dance")
    assert load(str(config), ["root=${DANCE}/v1"]).root == "/mnt/dance/v1"


def test_a_file_says_only_what_differs_from_the_one_it_extends(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "variants" / "other.yaml"
    other.parent.mkdir()
    other.write_text("extends: ../config.yaml\nexperiment: other\nencode:\n  frames_per_row: 12\n")
    loaded = load(str(other))
    assert (loaded.experiment, loaded.root) == ("other", "/data/dance")
    assert (loaded.encode.batch, loaded.encode.frames_per_row) == (4, 12)


@pytest.mark.parametrize(
    ("base", "message"),
    [("missing.yaml", r"missing\.yaml: No such file"), ("broken.yaml", r"broken\.yaml extends itself")],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, base: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(f"extends: {base}\nexperiment: x\n")
    with pytest.raises(ConfigError, match=message):
        load(str(path))


def test_what_is_dumped_loads_to_the_same_settings(config: Path, tmp_path: Path) -> None:
    import yaml

    loaded = load(str(config))
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(dump(loaded)))
    assert load(str(copy)) == loaded


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encode.bacth=2"], r"unknown setting 'encode.bacth'; did you mean 'batch'\?"),
        (["encod.batch=2"], r"unknown setting 'encod'; did you mean 'encode'\?"),
        (["encode.batch=many"], r"setting 'encode.batch': .*integer.*'many'"),
        (["encode.batch=0"], r"setting 'encode.batch' must be at least 1, not 0"),
        (["curate={select: {min_seconds: -4}}"], r"setting 'curate.select.min_seconds' must be at least 0, not -4"),
        (["train.loop.engine.betas=[0.9, 1]"], r"setting 'train.loop.engine.betas.1' must be at least 0 and below 1"),
        (["encode.batch"], r"argument 'encode.batch' is not of the form section.key=value"),
        (["root=data/dance"], r"setting 'root' is 'data/dance', a relative path"),
        (["encoders.svd=weights/svd"], r"setting 'encoders.svd' is 'weights/svd', a relative path"),
        (["align.more_poses=[data/poses]"], r"setting 'align.more_poses.0' is 'data/poses', a relative path"),
        (["align.evaluation.methods=[svd]"], r"setting 'align.evaluation'?.*methods must have learned"),
        (["alignment_table.moving_camera=-1"], r"setting 'alignment_table.moving_camera' must be at least 0"),
        (["align.evaluation_pairs=5"], r"unknown setting 'align.evaluation_pairs'; did you mean"),
        (["root=${NOT_SET_ANYWHERE}/x"], r"root: the environment variable NOT_SET_ANYWHERE is not set"),
        (["experiment="], r"setting 'experiment'"),
        (
            ["animate.variants={a: {samplr: {}}}"],
            r"unknown setting 'animate.variants.a.samplr'; did you mean 'sampler'",
        ),
        (["animate.variants={a: {sampler: {stepz: 2}}}"], r"unknown setting 'animate.variants.a.sampler.stepz'"),
        (["animate.variants.A.alignment=nobody"], r"setting 'animate.variants.A.alignment': .*'nobody'"),
        (["animate.variants.a.max_frames=0"], r"setting 'animate.variants.a.max_frames' must be at least 1"),
        (["animate.variants.a=3"], r"setting 'animate.variants.a': must hold settings, as `key: value` \(got 3\)"),
        (["animate.settings.hjb.decoder=tiny"], r"animate.variants.hjb.hjb.decoder is tiny, and encoders.tiny_decoder"),
        (["animate.variants={}"], r"setting 'animate.variants': name at least one"),
        (["animate.variants=[plain, hjb]"], r"setting 'animate.variants': name at least one"),
        (["animate.variants={off: {}}"], r"the key 'off' is no text; put it in quotes"),
        (
            ["animate.variants={a b: {}}"],
            r"animate.variants' has a name that must be 1 to 40 letters, digits and _, -, .*'a b'",
        ),
        (["animate.variants={a: {}, a: {}}"], r"the value is not YAML that can be used: 'a' occurs twice"),
        (["animate.pairs=data/pairs.parquet"], r"setting 'animate.pairs' is 'data/pairs.parquet', a relative path"),
        (["animate.pairs=pairs.parquet"], r"setting 'animate.pairs' must be latest, .*; a path must be absolute"),
        (["animate.model=models/a"], r"setting 'animate.model' is 'models/a', a relative path"),
        (["train.aligner=../aligner"], r"setting 'train.aligner' is '../aligner', a relative path"),
        (["release=../../x"], r"setting 'release' must be latest, or the first characters of an id"),
        (["experiment=../../x"], r"setting 'experiment' must be 1 to 100 letters"),
        (["line=a/b"], r"setting 'line' must be 1 to 100 letters"),
        (["train.name=..x"], r"setting 'train.name' must be 1 to 100 letters"),
        (["root=ftp://x/y"], r"setting 'root' is 'ftp://x/y'; it must be .* file://, s3://, gs://"),
        (["root=s3://"], r"setting 'root' is 's3://'; it names no bucket"),
        (["root=s3:///folder"], r"'s3:///folder'; it names no bucket"),
        (["root=s3://?region=x"], r"it names no bucket"),
        (["root=file://data"], r"write file:///folder"),
        (["root=/data/../a\0b"], r"unacceptable character #x0000"),
        (['root="/data/\\0"'], r"setting 'root' has a character that no path may have"),
        (['root="/data/\\n"'], r"setting 'root' has a character that no path may have"),
        (["root=file:///data%00"], r"setting 'root' has a character that no path may have"),
        (["root=/" + "x" * 5000], r"setting 'root' has 5001 characters"),
        (["encoders.svd=package://a/../../etc"], r"leads out of the package"),
        (["encoders.svd=s3://bucket/svd"], r"it must be an absolute path, or begin with package://"),
        (['curate={crawl: {user_agent: "a\\nb"}}'], r"setting 'curate.crawl.user_agent' must be one line"),
        (["a." * 3000 + "a=1"], r"no setting lies 3000 levels deep"),
        (["encode.batch=" + "[" * 3000 + "]" * 3000], r"nested more than 40 levels deep"),
        (["encode.batch=" + "x" * 3000], r"setting 'encode.batch': .*…\)"),
        (["encode=5"], r"setting 'encode': must hold settings, as `key: value` \(got 5\)"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(config: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(str(config), overrides)
    assert "\n" not in str(caught.value)


EVERYTHING = [
    "perception={faces: {pack_root: /w}, pose: {detector: /d, pose: /p}}",
    "curate.camera_motion.cotracker={checkpoint: /c}",
    "train.step.misalignment={}",
    "benchmark={}",
]
"""What makes every settings class that a configuration may hold."""


def _settings(settings: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """A settings object and those in it, with their keys."""
    yield above, settings
    for name in Config.model_fields if isinstance(settings, Config) else hints_of(type(settings)):
        value = getattr(settings, name)
        inside = value.items() if isinstance(value, dict) else [("", value)]
        for key, each in inside:
            if dataclasses.is_dataclass(each):
                yield from _settings(each, f"{above}{name}.{key}".rstrip(".") + ".")


def _classes(annotation: Any) -> set[type]:
    """The settings classes that values of a type may hold, however deep."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return {annotation}.union(*map(_classes, hints_of(annotation).values()))
    return set().union(*map(_classes, typing.get_args(annotation)))


def _number_types(annotation: Any, known: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every number that a type holds, what the type says of it."""
    if annotation in (int, float):
        yield known
    elif typing.get_origin(annotation) is typing.Annotated:
        yield from _number_types(typing.get_args(annotation)[0], annotation.__metadata__)
    elif typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from _number_types(part)


def _with(value: Any, number: float) -> Iterator[Any]:
    """A setting's value with a number in place of each that it holds."""
    if isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from ((*value[:place], each, *value[place + 1 :]) for each in _with(item, number))
    else:
        yield number


def test_every_number_of_every_setting_has_a_range_and_is_finite(config: Path) -> None:
    """NaN passes every comparison's denial, so a check that somebody writes by hand may let it pass."""
    found = dict(_settings(load(str(config), EVERYTHING)))
    hints = hints_of(Config)
    wanted = set().union(*(_classes(hints[name]) for name in Config.model_fields))
    assert {type(each) for each in found.values()} - {Config} == wanted
    found |= {"fps.": FrameRates(), "micro.": MicroConditions(), "clips.": ClipSettings()}  # not of a configuration
    numbers = 0
    for key, settings in found.items():
        for name, hint in hints_of(type(settings)).items() if key else ():
            said = list(_number_types(hint))
            assert all(any(isinstance(each, Range) for each in one) for one in said), f"{key}{name} has no range"
            numbers += len(said)
            for value in [number for number in (math.nan, math.inf, -math.inf) if said]:
                for hostile in _with(getattr(settings, name), value):
                    with pytest.raises(LimitError, match="must be a finite number") as caught:
                        replace(settings, **{name: hostile})
                    assert caught.value.where.split(".")[0] == name
    assert numbers > 250


def test_a_configuration_takes_no_number_that_is_none(config: Path) -> None:
    found = _settings(load(str(config), EVERYTHING))
    keys = [
        f"{key}{name}"
        for key, settings in found
        for name, hint in hints_of(type(settings)).items()
        if key and len(list(_number_types(hint))) == 1 and not isinstance(getattr(settings, name), tuple)
    ]
    assert len(keys) > 150
    for number, key in enumerate(keys):
        value = (".nan", ".inf", "-.inf", "nan", "1e999")[number % 5]
        with pytest.raises(ConfigError, match=f"setting '{key}'") as caught:
            load(str(config), [*EVERYTHING, f"{key}={value}"])
        assert "\n" not in str(caught.value)


VARIANTS = """
experiment: x
root: /data/x
animate:
  settings: {max_frames: 8, sampler: {steps: 9, s_churn: 1.0}}
  variants:
    plain: {face_optimisation: off}
    as_they_are:
    face_off: {face: off, sampler: {steps: 3}}
"""


def test_a_variant_says_what_differs_from_the_shared_settings(tmp_path: Path) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text(VARIANTS)
    loaded = load(str(path), ["animate.settings.max_frames=4"]).animate
    assert list(loaded.variants) == ["plain", "as_they_are", "face_off"]
    shared = loaded.settings
    assert (shared.max_frames, shared.sampler.steps, shared.face, shared.face_optimisation) == (4, 9, True, True)
    assert loaded.variants["as_they_are"] == shared
    assert loaded.variants["plain"] == dataclasses.replace(shared, face_optimisation=False)
    fewer = dataclasses.replace(shared.sampler, steps=3)
    assert loaded.variants["face_off"] == dataclasses.replace(shared, face=False, sampler=fewer)


def test_what_is_dumped_of_a_variant_is_what_differs(tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "variants.yaml"
    path.write_text(VARIANTS)
    dumped = dump(load(str(path)))
    assert dumped["animate"]["variants"] == {
        "plain": {"face_optimisation": False},
        "as_they_are": {},
        "face_off": {"face": False, "sampler": {"steps": 3}},
    }
    path.write_text(yaml.safe_dump(dumped))
    assert load(str(path), ["animate.settings.max_frames=2"]).animate.variants["face_off"].max_frames == 2


def test_without_variants_there_is_one_without_face_optimisation_and_one_with_it(config: Path) -> None:
    loaded = load(str(config), ["animate.settings.max_frames=5"]).animate
    each = {name: (one.max_frames, one.face_optimisation) for name, one in loaded.variants.items()}
    assert each == {"plain": (5, False), "hjb": (5, True)}


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(VARIANTS.replace("    as_they_are:", "    plain: {face: off}"))
    with pytest.raises(ConfigError, match=r"twice\.yaml is not YAML that can be used: 'plain' occurs twice in line 8"):
        load(str(path))


@pytest.mark.parametrize("name", ["tiny", "full", "real_clips"])
def test_the_configurations_of_the_package_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SA_ROOT", "SA_WEIGHTS", "SA_REAL_DATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    loaded = load(str(CONFIGS / f"{name}.yaml"))
    assert loaded.root.startswith(str(tmp_path))
    # 100 clips with 4 drives each; the tiny line has few clips.
    drives = (8, 4) if name != "full" else (4, 8)
    assert (loaded.align.evaluation.drives_per_clip, loaded.align.evaluation.worst) == drives


def test_settings_inside_settings_are_read(config: Path) -> None:
    overrides = ["align.evaluation.methods=[per_bone, learned]", "align.more_poses=[/data/a, /data/b.v1]"]
    loaded = load(str(config), [*overrides, "alignment_table.aligner=shipped"])
    assert loaded.align.evaluation.methods == ("per_bone", "learned")
    assert loaded.align.more_poses == ("/data/a", "/data/b.v1")
    assert loaded.alignment_table.aligner == "shipped"


def test_the_table_of_alignments_reserves_nothing(config: Path) -> None:
    assert resources("alignment_table", load(str(config))) == "alignment_table reserves nothing: it runs in the driver"


@pytest.mark.parametrize("text", ["experiment: [", "just words", ""])
def test_a_file_that_is_not_settings_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", YAML_TEXTS)
def test_a_hostile_file_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(YAML_TEXTS[name])
    for base in (path, tmp_path / "other.yaml"):
        base.exists() or base.write_text("extends: hostile.yaml\nexperiment: x\n")
        with pytest.raises(ConfigError, match=r"hostile\.yaml") as caught:
            load(str(base))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("base", ['"a\\0b"', "[a]", "/dev/zero", '"x\\ny"', "3"])
def test_a_hostile_base_is_one_line(tmp_path: Path, base: str) -> None:
    (tmp_path / "config.yaml").write_text(f"extends: {base}\nexperiment: x\n")
    with pytest.raises(ConfigError, match=r"--config ") as caught:
        load(str(tmp_path / "config.yaml"))
    assert "\n" not in str(caught.value)


def test_files_extend_one_another_a_few_times(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="more than 10 files extend one another"):
        load(str(tmp_path / "0.yaml"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/no/such\.yaml"):
        load("/no/such.yaml")


def test_a_configuration_is_read_without_what_takes_seconds_to_import() -> None:
    heavy = ("torch", "diffusers", "transformers", "ray", "deepspeed", "mlflow", "pandas", "onnxruntime")
    code = f"import sys, jobs.running.config, jobs.submit; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_preset_is_all_of_its_numbers(tmp_path: Path) -> None:
    """What stands below it, in the file that is extended or in arguments before, is not mixed into it."""
    base = "experiment: e\nroot: /r\nanimate: {settings: {hjb: {optimisation_steps: 7, region_margin: 3}}}\n"
    (tmp_path / "base.yaml").write_text(base)
    child = tmp_path / "child.yaml"
    paper = FACE_OPTIMISATION_PRESETS["paper"]

    def hjb(text: str, *overrides: str) -> FaceOptimisationSettings:
        child.write_text(f"extends: base.yaml\n{text}")
        return load(str(child), overrides).animate.settings.hjb

    named = "animate: {settings: {hjb: {preset: paper}}}\n"
    assert hjb(named) == paper
    assert hjb("animate: {settings: {hjb: {preset: paper, learning_rate: 0.3}}}\n") == replace(paper, learning_rate=0.3)
    assert hjb("", "animate.settings.hjb.preset=paper") == paper
    assert hjb("", "animate.settings.hjb.preset=paper", "animate.settings.hjb.learning_rate=0.3") == replace(
        paper, learning_rate=0.3
    )
    assert hjb("").optimisation_steps == 7
    with pytest.raises(ConfigError, match="'nobody' is none of effective, paper, released"):
        hjb("", "animate.settings.hjb.preset=nobody")


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ("root=s3://AKID:hush@bucket/x", "root"),
        ("root=s3://bucket/x?access_key=AKID&secret_key=hush", "root"),
        ("animate.pairs=s3://AKID:hush@bucket/pairs.csv", "animate.pairs"),
        ("evaluate.results=abfs://box:hush@a.dfs.core.windows.net/r.csv", "evaluate.results"),
        ("curate.crawl.lists=[/a.csv, s3://AKID:hush@bucket/b.csv]", "curate.crawl.lists"),
    ],
)
def test_keys_and_passwords_in_a_uri_are_refused_and_not_shown(config: Path, override: str, where: str) -> None:
    with pytest.raises(ConfigError, match=f"^setting '{where}': .* holds credentials, .*; take them out: ") as told:
        load(str(config), [override])
    assert "hush" not in str(told.value)
    assert "AWS_PROFILE" in str(told.value)


def test_what_is_shown_and_recorded_of_a_signed_source_has_no_signature(config: Path) -> None:
    """A job is sent the address as it is, else it could not fetch."""
    url = "https://h.test/a.mp4?X-Amz-Signature=hush"
    loaded = load(str(config), [f'curate.crawl.sources=["{url}"]'])
    assert resolved(loaded)["curate"]["crawl"]["sources"] == [url]
    assert "hush" not in str([dump(loaded), parameters("curate", loaded), described("curate", loaded)])
    assert "X-Amz-Signature=***" in parameters("curate", loaded)["curate.crawl.sources"]
