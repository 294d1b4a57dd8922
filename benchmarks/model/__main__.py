"""The networks: names and shapes, differences to the released code, cost of full size, encoding, steps from shards.

    python -m benchmarks.model                     # ten minutes on two cores
    python -m benchmarks.model --quick             # one repeat, nothing written: to see that it runs
    SA_RELEASED=/path/to/StableAnimator python -m benchmarks.model      # also beside the released modules

What full size costs is counted on tensors without data (`benchmarks.model.cost`); `benchmarks.gpu` measures it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import harness
from benchmarks.harness import Figure, report
from benchmarks.model import encode_rate
from benchmarks.model.cost import cost_figures
from benchmarks.model.released import released_figures
from benchmarks.model.step import step_figures
from stableanimator.errors import UserError
from stableanimator.models.animator import Animator
from stableanimator.models.settings import ModelSettings

_RELEASED = Path(__file__).resolve().parents[2] / "tests/stableanimator/models/released_state_dict_shapes.json"
"""Names and shapes of the released checkpoints."""


def shape_figures() -> list[Figure]:
    """How many tensors of the full size are not the released checkpoints' in name and shape."""
    released: dict[str, dict[str, list[int]]] = json.loads(_RELEASED.read_text())
    with torch.device("meta"):
        animator = Animator(ModelSettings())
    unequal = 0
    for part, expected in released.items():
        ours = {name: list(value.shape) for name, value in getattr(animator, part).state_dict().items()}
        unequal += sum(ours.get(name) != expected.get(name) for name in ours.keys() | expected.keys())
    counts = " + ".join(str(len(expected)) for expected in released.values())
    name = "names and shapes at full size that are not the released ones"
    return [Figure(name, unequal, 0, "lower", note=f"{counts} tensors of {', '.join(released)}")]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark. Returns 0, 1 where a bar is missed, or 2 for the user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat, nothing written: to see that it runs")
    arguments = parser.parse_args(argv)
    work = Path(tempfile.mkdtemp(prefix="bench-model-"))
    for part in ("step", "encode"):
        (work / part).mkdir()
    try:
        torch.set_num_threads(1)
        figures = [
            *shape_figures(),
            *released_figures(),
            *step_figures(work / "step", arguments.quick),
            *cost_figures(),
        ]
        figures += encode_rate.figures(work / "encode", arguments.quick)
        return report("model", figures, folder=None if arguments.quick else harness.RESULTS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
