"""`python -m jobs.weights list | fetch NAME… | verify [NAME…] | where NAME`: the real weights, as `full` expects them.

list: every file, its state, size, licence and place; fetch: download what is missing, go on where it was stopped;
verify: hash files, without names those that are there; where: print the path of an entry's file or folder. Needs no
Ray; only `fetch` touches the network. Ends with 2 after a user's mistake, or where something is missing or wrong.
"""

from __future__ import annotations

from jobs.running import ending

if __name__ == "__main__":
    ending.until_begun()

import argparse
import difflib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rich.filesize import decimal

from jobs.weights.catalogue import CATALOGUE, Entry, WeightsFile
from jobs.weights.fetch import Mirrors, by_hand, fetch
from jobs.weights.folder import RIGHT, size_of, state
from stableanimator.errors import ConfigError, InputError, WeightsError
from stableanimator.redaction import log_to_stderr

_NAMES = "names of `list`, `full` for all that jobs/configs/full.yaml names, or `all`"
_MIRROR = "ask this mirror: URL/host/path for all but Hugging Face (HF_ENDPOINT), or another place for a prefix"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m jobs.weights", description=__doc__.partition("\n\n")[2])
    parser.add_argument("verb", choices=("list", "fetch", "verify", "where"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=_NAMES)
    parser.add_argument("--root", default=os.environ.get("SA_WEIGHTS"), help="the weights folder; default SA_WEIGHTS")
    parser.add_argument("--mirror", action="append", default=[], metavar="[PREFIX=]URL", help=_MIRROR)
    arguments = parser.parse_intermixed_args(argv)
    if arguments.verb in ("fetch", "where") and not arguments.names:
        parser.error(f"{arguments.verb} NAME: {_NAMES}")
    return arguments


def _select(names: Sequence[str], catalogue: Sequence[Entry]) -> list[Entry]:
    known = [entry.name for entry in catalogue]
    for name in sorted({*names} - {"all", "full", *known}):
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise InputError(f"no weights are called {name!r}; {hint}")
    return [entry for entry in catalogue if {entry.name, "all", "full" if entry.full else "all"} & set(names)]


def _list(root: Path, files: Sequence[tuple[Entry, WeightsFile]]) -> None:
    print(f"weights in {root}")
    there, wide = 0, max(len(entry.licence) for entry, _ in files)
    for entry, file in files:
        word, why = state(root, file)
        there += word != "missing"
        size = size_of(root / file.path) or file.size
        what = f"{decimal(size) if size else '?':>9}  {entry.name:<18}  {entry.licence:<{wide}}  {file.path}"
        print(f"{word:<10}  {what}{why and f'  ({why})'}")
    print(f"{there} of {len(files)} files are there; `fetch NAME` downloads, `verify` hashes what is there")


def _verify(root: Path, files: Sequence[tuple[Entry, WeightsFile]]) -> None:
    wrong = 0
    for entry, file in files:
        word, why = state(root, file, read=True)
        if word not in RIGHT:
            wrong += 1
            why += f"{why and '; '}python -m jobs.weights fetch {entry.name}, or {by_hand(root, entry, file)}"
        print(f"{word:<10}  {root / file.path}{why and f': {why}'}", flush=True)
    if not files:
        raise WeightsError(f"{root} holds no weights; python -m jobs.weights fetch full brings those of full.yaml")
    if wrong:
        raise WeightsError(f"{wrong} of {len(files)} files in {root} are missing or wrong; the lines above say which")
    print(f"weights: {len(files)} files in {root} are right")


def main(argv: Sequence[str] | None = None, catalogue: Sequence[Entry] = CATALOGUE) -> int:
    """Run one of the commands. Returns its exit code (`jobs.running.ending`)."""
    arguments = _arguments(argv)
    log_to_stderr("%(asctime)s %(message)s")
    logging.getLogger("pipelines.crawling.fetch").setLevel(logging.DEBUG)  # why it waits

    def look() -> int:
        if not arguments.root:
            raise ConfigError("no weights folder is named; set SA_WEIGHTS to a folder, or give --root FOLDER")
        root = Path(arguments.root).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise ConfigError(f"the weights folder {root} is a file; set SA_WEIGHTS or --root to a folder")
        entries = _select(arguments.names or ["all"], catalogue)
        files = [(entry, file) for entry in entries for file in entry.files]
        if arguments.verb == "list":
            _list(root, files)
        elif arguments.verb == "fetch":
            fetch(root, entries, Mirrors(arguments.mirror, os.environ))
        elif arguments.verb == "verify":
            _verify(root, [(entry, file) for entry, file in files if arguments.names or (root / file.path).is_file()])
        else:
            print(*(root / entry.path for entry in entries), sep="\n")
        return ending.EXIT_OK

    return ending.ended(look)


if __name__ == "__main__":
    ending.leave(main())
