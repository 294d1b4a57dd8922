"""Benchmark: reads videos of the user; writes one of the papers' benchmark sets, pairs and the files in them."""

from __future__ import annotations

from jobs.running import ending, entry

if __name__ == "__main__":
    entry.answer_first("benchmark")  # before what takes seconds to import


from jobs.running.config import Config
from jobs.tracking.run import Run
from pipelines.benchmark_sets.named import HasFace, make_named_set
from pipelines.crawling.crawl import crawl
from pipelines.storage.store import Store
from stableanimator.errors import ConfigError
from stableanimator.perception.settings import PerceptionSettings


def run(config: Config, run: Run) -> str:
    """Fetch, look at each video, draw. Runs in the driver: a set is small."""
    settings = config.benchmark
    if settings is None:
        raise ConfigError("the configuration has no section benchmark; say which videos in benchmark.crawl.sources")
    store = Store(config.root)
    sources = crawl(settings.crawl, store).sources
    made = make_named_set(store, sources, settings, _has_face(config.perception))
    files = made.table("files").to_pylist()
    unused = [row for row in files if row["reason"] is not None]
    pairs = made.manifest["tables"]["pairs"]["rows"]
    run.dataset("benchmark", made.uri, made.id, context="output")
    run.metrics({"benchmark_pairs": pairs, "benchmark_files": len(files), "benchmark_files_unused": len(unused)})
    run.table("unused_files", [{name: str(row[name]) for name in ("name", "reason", "detail")} for row in unused])
    without = f", {len(unused)} without use" if unused else ""
    return f"{settings.name}: {pairs} pairs of {len(files)} files{without}: {made.uri}"


def _has_face(perception: PerceptionSettings | None) -> HasFace | None:
    """With the recogniser's detector, where the configuration names one."""
    if perception is None:
        return None
    from stableanimator.perception.faces import FaceAnalyser  # here: it takes seconds

    analyser = FaceAnalyser(perception.faces, perception.threads)
    return lambda frame: bool(analyser(frame))


if __name__ == "__main__":
    ending.leave(entry.main("benchmark", run))
