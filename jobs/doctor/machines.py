"""What each machine of a cluster says of itself: a task on each looks at files, room, GPUs and the root."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.doctor.findings import Finding
from jobs.running.config import Config
from jobs.running.files import Needed, looked_at
from jobs.running.job_server import Versions, short_reason
from pipelines.storage.store import Store
from stableanimator.errors import UserError

_FETCH = "put it there on every machine, or name a folder that all share (python -m jobs.weights fetch brings weights)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One machine's answer."""

    name: str
    versions: Versions
    files: Mapping[str, int | str]
    """By path: bytes, or why it cannot be used."""
    temporary: str
    free_bytes: int
    """Of the temporary folder."""
    gpus: int | None
    """That the driver of the GPUs lists; None where there is none."""
    runs_cuda: bool
    """Whether ONNX Runtime can use GPUs here."""
    root: str
    """Why the root cannot be read and written; empty where it can."""


@ray.remote(num_cpus=0)
def _look(paths: Sequence[str], root: str, mark: str, own: str) -> Machine:
    import onnxruntime  # here: the driver need not have it

    return Machine(
        name=platform.node(),
        versions=Versions(ray=version("ray"), python=platform.python_version()),
        files={path: looked_at(path) for path in paths},
        temporary=tempfile.gettempdir(),
        free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        gpus=_gpus(),
        runs_cuda="CUDAExecutionProvider" in onnxruntime.get_available_providers(),
        root=_reaches(root, mark, own),
    )


def _gpus() -> int | None:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else None


def _reaches(root: str, mark: str, own: str) -> str:
    """Read what the driver wrote, and write for it to read."""
    try:
        store = Store(root)
        if not store.exists(mark):
            return "it does not see what the driver wrote there"
        store.write_bytes(own, b"seen")
    except (OSError, UserError) as error:
        return short_reason(error)
    return ""


def look_at_machines(config: Config, needed: Sequence[Needed], machines: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What all machines (rows of `ray.nodes()` that are alive) say; the driver's own first.

    The root gets a file of the driver's and one of each machine, which are deleted again; they lie in no folder, which
    would stay.
    """
    store, name = Store(config.root), f"doctor-{uuid.uuid4().hex}"
    mark = f"{name}-driver"
    try:
        store.write_bytes(mark, b"here")
    except (OSError, UserError) as error:
        way = "give the user of the jobs the right to write there, or name another root"
        return [Finding("wrong", f"root: {config.root} cannot be written ({short_reason(error)})", way)]
    owns = {machine["NodeID"]: f"{name}-{number}" for number, machine in enumerate(machines)}
    try:
        answers = _ask(config, needed, machines, mark, owns)
        unseen = [node for node, own in owns.items() if not store.exists(own)]
    finally:
        for path in (*owns.values(), mark):
            store.delete(path)
    findings: list[Finding] = []
    for machine in machines:
        answer = answers[machine["NodeID"]]
        where = f"machine {machine['NodeManagerAddress']}"
        if isinstance(answer, str):
            way = "look at its logs (ray list nodes), or take it out of the cluster"
            findings.append(Finding("wrong", f"{where} does not answer ({answer})", way))
        else:
            findings += _machine(where, answer, config, machine, unseen=machine["NodeID"] in unseen)
    return [*findings, *_files(needed, machines, answers), *_disk(store, config)]


def _ask(
    config: Config, needed: Sequence[Needed], machines: Sequence[Mapping[str, Any]], mark: str, owns: Mapping[str, str]
) -> dict[str, Machine | str]:
    """By node: its answer, or why there is none."""
    driver = ray.get_runtime_context().get_node_id()
    tasks = {}
    for machine in machines:
        node = machine["NodeID"]
        paths = [each.path for each in needed if each.everywhere or node == driver]
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        tasks[node] = _look.options(scheduling_strategy=there).remote(paths, config.root, mark, owns[node])
    ready, _ = ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=config.doctor.wait_s)
    answers: dict[str, Machine | str] = {}
    for node, task in tasks.items():
        try:
            waited = f"nothing within {config.doctor.wait_s:g} s"
            answers[node] = ray.get(task) if task in ready else waited
        except ray.exceptions.RayError as error:
            answers[node] = " ".join(str(error).split())[-200:]
    return answers


def _machine(
    where: str, answer: Machine, config: Config, machine: Mapping[str, Any], *, unseen: bool
) -> Iterator[Finding]:
    """Room, GPUs and the root."""
    reserved = machine["Resources"].get("GPU", 0)
    gib = answer.free_bytes / 2**30
    what = f"{where} ({answer.name}): {gib:.1f} GiB free in {answer.temporary}"
    if gib < config.doctor.free_gib:
        way = "free some space, or set TMPDIR where Ray is started"
        yield Finding("wrong", f"{what}, less than doctor.free_gib = {config.doctor.free_gib:g}", way)
    else:
        yield Finding("ok", f"{what}, {reserved:g} GPU")
    if reserved and answer.gpus is not None and answer.gpus < reserved:
        way = "start Ray there with --num-gpus of what there is"
        yield Finding("wrong", f"{where} promises {reserved:g} GPUs, and nvidia-smi lists {answer.gpus}", way)
    if reserved and config.perception is not None and config.perception.device == "cuda" and not answer.runs_cuda:
        way = "install onnxruntime-gpu there in place of onnxruntime, or set perception.device: cpu"
        yield Finding("wrong", f"{where}: perception.device is cuda, and its ONNX Runtime has no CUDA", way)
    if answer.root or unseen:
        why = answer.root or "the driver does not see what it wrote there"
        way = "mount it on every machine at the same path, writable by the user of the jobs, or use a bucket"
        yield Finding("wrong", f"{where}: the root {config.root} is not shared ({why})", way)
    else:
        yield Finding("ok", f"{where}: the root {config.root} is shared and writable")


def _files(
    needed: Sequence[Needed], machines: Sequence[Mapping[str, Any]], answers: Mapping[str, Machine | str]
) -> Iterator[Finding]:
    """For each file whether all machines that may read it have it, of one size."""
    names = {machine["NodeID"]: str(machine["NodeManagerAddress"]) for machine in machines}
    for each in needed:
        seen = {names[node]: answer.files[each.path] for node, answer in answers.items()
                if isinstance(answer, Machine) and each.path in answer.files}  # fmt: skip
        what = f"{each.setting}: {each.path}"
        reasons = Counter(str(said) for said in seen.values() if isinstance(said, str))
        if reasons:
            bad = [name for name, said in seen.items() if isinstance(said, str)]
            way = _FETCH if each.everywhere else "put it there, or name another"
            yield Finding("wrong", f"{what} {reasons.most_common(1)[0][0]} on {_shown(bad)}", way)
        elif len(set(seen.values())) > 1:
            sizes = ", ".join(f"{said} bytes on {name}" for name, said in list(seen.items())[:4])
            yield Finding("wrong", f"{what} is not the same everywhere ({sizes})", "copy one of them to all")
        elif seen:
            yield Finding("ok", f"{what} on {len(seen)} machine{'s' * (len(seen) != 1)}")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _disk(store: Store, config: Config) -> Iterator[Finding]:
    free = store.free_bytes()
    if free is None:
        yield Finding("note", f"root: {config.root} is no local folder", "see to its quota yourself")
    elif free < config.encode.free_gib * 2**30:
        what = f"root: {free / 2**30:.1f} GiB free, less than encode.free_gib = {config.encode.free_gib:g}"
        yield Finding("wrong", what, "free some space, or name another root")
    else:
        yield Finding("ok", f"root: {free / 2**30:.1f} GiB free in {config.root}")


def uses_folder(config: Config, verbs: Sequence[str]) -> Iterator[Finding]:
    """Jobs that cannot use a bucket yet."""
    stuck = [verb for verb in verbs if verb not in ("curate", "encode")]
    if "://" in config.root and stuck:
        way = "give a folder that all machines share"
        yield Finding("wrong", f"root: {', '.join(stuck)} cannot use the URI {config.root} yet", way)
