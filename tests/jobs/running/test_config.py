"""A YAML file and arguments become settings; each mistake is one line that names the key."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobs.running.config import Config, dump, load, resolved
from jobs.running.entry import described
from jobs.running.parameters import parameters
from jobs.running.resources import resources
from stableanimator.diffusion.settings import FACE_OPTIMISATION_PRESETS, FaceOptimisationSettings
from stableanimator.errors import ConfigError

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
        (["encode.batch=0"], r"setting 'encode'?.*batch"),
        (["encode.batch"], r"argument 'encode.batch' is not of the form section.key=value"),
        (["root=data/dance"], r"setting 'root': 'data/dance' is a relative path"),
        (["encoders.svd=weights/svd"], r"setting 'encoders.svd': 'weights/svd' is a relative path"),
        (["align.more_poses=[data/poses]"], r"setting 'align.more_poses.*': 'data/poses' is a relative path"),
        (["align.evaluation.methods=[svd]"], r"setting 'align.evaluation'?.*methods must have learned"),
        (["alignment_table.moving_camera=-1"], r"setting 'alignment_table'?.*moving_camera must not be negative"),
        (["align.evaluation_pairs=5"], r"unknown setting 'align.evaluation_pairs'; did you mean"),
        (["root=${NOT_SET_ANYWHERE}/x"], r"root: the environment variable NOT_SET_ANYWHERE is not set"),
        (["experiment="], r"setting 'experiment'"),
        (
            ["animate.variants={a: {samplr: {}}}"],
            r"unknown setting 'animate.variants.a.samplr'; did you mean 'sampler'",
        ),
        (["animate.variants={a: {sampler: {stepz: 2}}}"], r"unknown setting 'animate.variants.a.sampler.stepz'"),
        (["animate.variants.A.alignment=nobody"], r"setting 'animate.variants.A.alignment': .*'nobody'"),
        (["animate.variants.a.max_frames=0"], r"setting 'animate.variants.a': max_frames must be at least 1"),
        (["animate.variants.a=3"], r"setting 'animate.variants.a': must hold settings, as `key: value` \(got 3\)"),
        (["animate.settings.hjb.decoder=tiny"], r"animate.variants.hjb.hjb.decoder is tiny, and encoders.tiny_decoder"),
        (["animate.variants={}"], r"setting 'animate.variants': name at least one"),
        (["animate.variants=[plain, hjb]"], r"setting 'animate.variants': name at least one"),
        (["animate.variants={off: {}}"], r"setting 'animate.variants': YAML reads a name as False"),
        (["animate.variants={a b: {}}"], r"variants: a name is of letters, digits, _ and -, at most 40, not 'a b'"),
        (["animate.variants={a: {}, a: {}}"], r"the value is not YAML: 'a' occurs twice"),
        (["encode=5"], r"setting 'encode': must hold settings, as `key: value` \(got 5\)"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(config: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(str(config), overrides)
    assert "\n" not in str(caught.value)


def _types(annotation: Any) -> set[Any]:
    """A type and those that it is made of."""
    return {annotation}.union(*map(_types, typing.get_args(annotation)))


def _numbers(kind: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of all settings that hold numbers which need not be whole, with their types."""
    hints = typing.get_type_hints(kind)
    for name in kind.model_fields if issubclass(kind, Config) else [field.name for field in dataclasses.fields(kind)]:
        settings = [each for each in (hints[name], *typing.get_args(hints[name])) if dataclasses.is_dataclass(each)]
        if settings:
            one = ".one" if typing.get_origin(hints[name]) is dict else ""
            yield from _numbers(settings[0], f"{above}{name}{one}.")
        elif float in _types(hints[name]):
            yield above + name, hints[name]


def test_no_setting_takes_a_number_that_is_none(config: Path) -> None:
    """NaN passes every check of a range, since no comparison with it is true."""
    needed = [
        "perception={faces: {pack_root: /w}, pose: {detector: /d, pose: /p}}",
        "curate.camera_motion.cotracker={checkpoint: /c}",
    ]
    numbers = list(_numbers(Config))
    assert len(numbers) > 100
    for number, (key, annotation) in enumerate(numbers):
        value = (".nan", ".inf", "-.inf", "nan", "1e999")[number % 5]
        override = f"{key}=[{value}, {value}]" if "tuple" in str(annotation) else f"{key}={value}"
        with pytest.raises(ConfigError, match="finite number") as caught:
            load(str(config), [*needed, override])
        assert f"setting '{key}" in str(caught.value)


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
    with pytest.raises(ConfigError, match=r"twice\.yaml is not YAML: 'plain' occurs twice .* line 8"):
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
        ("encoders.svd=s3://AKID:hush@bucket/svd", "encoders.svd"),
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
