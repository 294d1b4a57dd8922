"""What `jobs.encode` would write, told from the release alone: nothing is decoded, and no weights are loaded."""

from __future__ import annotations

from jobs.running.config import Config
from pipelines.shards.encode_plan import amount_of_release
from pipelines.storage.store import Store
from stableanimator.errors import InputError


def encode_plan(config: Config) -> str:
    """Rows and GiB of the whole release, what is encoded already included, and the room on the disk.

    Raises:
        WeightsError: the folder of Stable Video Diffusion is missing.
    """
    store = Store(config.root)
    try:
        release = store.open("releases", config.release)
    except InputError as error:
        return f"how much encode would write is known when there is a release: {error}"
    amount = amount_of_release(release, config.encode, config.encoders)
    free = store.free_bytes()
    room = "" if free is None else f"; {free / 2**30:.2f} GiB are free"
    lent = f", with {amount.lent} references of other clips" if amount.lent else ""
    return f"{release.uri} gives at most {amount.rows} rows{lent}, {amount.bytes / 2**30:.3f} GiB{room}"
