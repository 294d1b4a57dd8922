"""`python -m jobs.tracking FOLDER`: send what jobs logged while the tracker did not answer.

Reads the folder that they named, `<root>/tracking`, and MLFLOW_TRACKING_URI; what was logged for another tracker stays.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
from collections.abc import Sequence
from pathlib import Path

from jobs.tracking.runs import quietly
from jobs.tracking.sender import Sender
from jobs.tracking.tracker import tracking_uri
from stableanimator.errors import InputError
from stableanimator.redaction import log_to_stderr


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code (`jobs.running.ending`); 2 with a line that says what is still not sent."""
    log_to_stderr()
    parser = argparse.ArgumentParser(prog="python -m jobs.tracking", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the spools: what the job named, <root>/tracking")
    folder = parser.parse_args(argv).folder

    def send() -> int:
        uri = tracking_uri()
        quietly(uri)
        with Sender(uri, folder) as sender:
            sender.greet()
            left = sender.drain()
            while left is not None and (now := sender.drain()) is not None and now.records < left.records:
                left = now
            unsent = sender.drain() if left is not None else None
        if unsent is not None:
            raise InputError(str(unsent))
        print(f"all of {folder} is sent")
        return ending.EXIT_OK

    return ending.ended(send)


if __name__ == "__main__":
    ending.leave(main())
