"""`python -m jobs.weights list | fetch NAME… | verify [NAME…] | where NAME`: the real weights, as `full` expects them.

A plain command, which needs no Ray and touches the network only in `fetch`; it ends with 2 after a user's mistake, or
where something is missing or wrong.
"""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Sequence

from jobs.weights.catalogue import CATALOGUE, Entry, WeightsFile
from jobs.weights.download import Patience, size_text
from jobs.weights.fetch import Mirrors, fetch_entry, missing_files, require_room
from jobs.weights.folder import WeightsFolder, by_hand, weights_folder
from stableanimator.errors import InputError, UserError, WeightsError

# Those of jobs.running.entry, whose imports take seconds.
EXIT_OK, EXIT_USER, EXIT_INTERRUPTED = 0, 2, 130

_NAMES = "names of `list`, `full` for all that jobs/configs/full.yaml names, or `all`"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    root_help = "the weights folder; default SA_WEIGHTS"
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", default=argparse.SUPPRESS, help=root_help)
    result = argparse.ArgumentParser(prog="python -m jobs.weights", description=__doc__.splitlines()[0])
    result.add_argument("--root", help=root_help)
    verbs = result.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", parents=[shared], help="every file: its state, size, licence and place")
    fetch = verbs.add_parser("fetch", parents=[shared], help="download what is missing; goes on where it was stopped")
    fetch.add_argument("names", nargs="+", metavar="NAME", help=_NAMES)
    mirror_help = "ask this mirror: URL/host/path for all but Hugging Face (HF_ENDPOINT), or another place for a prefix"
    fetch.add_argument("--mirror", action="append", default=[], metavar="[PREFIX=]URL", help=mirror_help)
    verify = verbs.add_parser("verify", parents=[shared], help="hash files; without names, those that are there")
    verify.add_argument("names", nargs="*", metavar="NAME", help=_NAMES)
    where = verbs.add_parser("where", parents=[shared], help="print the path of an entry's file or folder")
    where.add_argument("name", metavar="NAME")
    return result.parse_args(argv)


def select(names: Sequence[str], catalogue: Sequence[Entry]) -> list[Entry]:
    """The entries of these names, in the catalogue's order.

    Raises:
        InputError: a name that is none.
    """
    wanted: set[str] = set()
    known = [entry.name for entry in catalogue]
    for name in names:
        if name in ("all", "full"):
            wanted |= {entry.name for entry in catalogue if entry.full or name == "all"}
        elif name in known:
            wanted.add(name)
        else:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
            raise InputError(f"no weights are called {name!r}{hint}")
    return [entry for entry in catalogue if entry.name in wanted]


def list_files(folder: WeightsFolder, catalogue: Sequence[Entry]) -> None:
    """Print a line for each file."""
    print(f"weights in {folder.root}")
    files = [(entry, file) for entry in catalogue for file in entry.files]
    wide = max(len(entry.licence) for entry in catalogue)
    there = 0
    for entry, file in files:
        state, detail = folder.state(file)
        there += state != "missing"
        place = folder.place(file.path)
        known = place.stat().st_size if file.size is None and state != "missing" else file.size
        size = "?" if known is None else size_text(known)
        why = f"  ({detail})" if detail else ""
        print(f"{state:<10}  {size:>8}  {entry.name:<18}  {entry.licence:<{wide}}  {file.path}{why}")
    print(f"{there} of {len(files)} files are there; `fetch NAME` downloads, `verify` hashes what is there")


def fetch(folder: WeightsFolder, entries: Sequence[Entry], mirrors: Mirrors, patience: Patience) -> None:
    """Show the terms, then bring what is missing."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{folder.root} cannot be made ({error.strerror}); name another with --root") from error
    missing = {entry: missing_files(folder, entry) for entry in entries}
    for entry, files in missing.items():
        if files:
            print(f"{entry.name}: {entry.what}\n  licence: {entry.licence}\n  home:    {entry.home}", flush=True)
    require_room(folder, missing)
    for entry, files in missing.items():
        if files:
            fetch_entry(folder, entry, files, mirrors, patience, lambda line: print(line, flush=True))
        else:
            print(f"{entry.name}: everything is there, nothing to fetch")
    print(f"weights: {sum(map(len, missing.values()))} files fetched into {folder.root}")


def verify(folder: WeightsFolder, entries: Sequence[Entry], named: bool) -> None:
    """Hash the files of these entries and print a line for each; without names, only of those that are there.

    Raises:
        WeightsError: a file is wrong, or one that was asked for is missing, or there is none at all.
    """
    checked = bad = 0
    for entry in entries:
        for file in entry.files:
            place = folder.place(file.path)
            if not named and not place.is_file():
                continue
            verdict = folder.verify(file)
            checked, bad = checked + 1, bad + (not verdict.right)
            parts = [verdict.detail] if verdict.detail else []
            if not verdict.right:
                parts.append(f"python -m jobs.weights fetch {entry.name}, or {_help(folder, entry, file)}")
            detail = f": {'; '.join(parts)}" if parts else ""
            print(f"{verdict.word:<10}  {place}{detail}", flush=True)
    if not checked:
        raise WeightsError(
            f"{folder.root} holds no weights; python -m jobs.weights fetch full brings those of full.yaml"
        )
    if bad:
        raise WeightsError(f"{bad} of {checked} files in {folder.root} are missing or wrong; the lines above say which")
    print(f"weights: {checked} files in {folder.root} are right")


def _help(folder: WeightsFolder, entry: Entry, file: WeightsFile) -> str:
    published = file.url or (entry.archive.url if entry.archive else None)
    return by_hand(folder, entry, file, published or entry.home)


def main(
    argv: Sequence[str] | None = None, *, catalogue: Sequence[Entry] = CATALOGUE, patience: Patience | None = None
) -> int:
    """Run one of the commands. Returns 0, or 2 for the user's mistake (one line on stderr)."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        folder = weights_folder(arguments.root)
        if arguments.verb == "list":
            list_files(folder, catalogue)
        elif arguments.verb == "fetch":
            mirrors = Mirrors.of(arguments.mirror, os.environ)
            fetch(folder, select(arguments.names, catalogue), mirrors, patience or Patience())
        elif arguments.verb == "verify":
            named = bool(arguments.names)
            verify(folder, select(arguments.names, catalogue) if named else catalogue, named)
        else:
            for entry in select([arguments.name], catalogue):
                print(folder.place(entry.path))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
