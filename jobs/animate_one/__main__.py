"""`python -m jobs.animate_one reference.png driving.mp4 out.mp4 --model FOLDER`: one animation, on this machine.

First a preview is written beside the output (`out-preview.png`): look at it while the model works, and press Ctrl-C if
it is not what you meant. Ends with 0, with 2 and one line after a user's mistake, with 130 after Ctrl-C, and leaves no
half file. `--model small` is the base model of the package, which knows drawn people alone.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
import logging
from collections.abc import Sequence

from jobs.animate_one.request import SMALL, request
from stableanimator.errors import InputError, RowError
from stableanimator.redaction import log_to_stderr

log = logging.getLogger(__name__)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.animate_one", description=__doc__.partition("\n\n")[2])
    parser.add_argument("reference", help="a picture of somebody, of any usual kind")
    parser.add_argument("driving", help="a video whose motion it gets")
    parser.add_argument("out", help="the mp4 that is made; one of that name is replaced")
    parser.add_argument("--model", required=True, help=f"a model's folder, or {SMALL}")
    parser.add_argument(
        "--config", help=f"a YAML file; by default jobs/configs/full.yaml, and tiny.yaml for --model {SMALL}"
    )
    parser.add_argument("--sound", action="store_true", help="give it the driving video's sound: animate.audio=true")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="a.b=value", help="settings that replace those of the file")
    return parser.parse_intermixed_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code (`jobs.running.ending`)."""
    log_to_stderr("%(message)s")
    given = _arguments(argv)

    def make() -> int:
        asked = request(
            given.reference,
            given.driving,
            given.out,
            model=given.model,
            config=given.config,
            overrides=[*(["animate.audio=true"] if given.sound else []), *given.overrides],
            seed=given.seed,
        )
        from jobs.animate_one.animation import animate_one  # here: its libraries take seconds, a mistake none

        log.info("looking at %s and %s", asked.reference, asked.driving)
        try:
            for line in animate_one(asked):
                print(line)
        except RowError as error:
            raise InputError(str(error)) from error
        return ending.EXIT_OK

    return ending.ended(make, kept="no video was written")


if __name__ == "__main__":
    ending.leave(main())
