"""How much a release gives: rows and bytes, told before anything is encoded, and whether the disk has room for it.

To compute the encoders' fingerprint all weights are loaded, in a process of its own; so that of encoders that come as
files is remembered in the store by the contents of the files. Random ones are drawn anew on each kind of processor.

C h w latent   E face embedding   D CLIP embedding
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from pipelines.shards.plan import ClipPlan, CropPlan, row_people
from pipelines.shards.references import row_references
from pipelines.shards.settings import EncodeSettings
from pipelines.shards.videos import VideoRows, videos_of
from pipelines.storage.store import Collection, Store, file_sha256, fingerprint
from pipelines.storage.tables import KEYPOINT_COUNT, SHARDS
from stableanimator.errors import StorageError, WeightsError
from stableanimator.models.settings import EncoderSettings
from stableanimator.paths import local_path, read_json

ROW_OVERHEAD = 8 << 10
"""Bytes that a row takes in a file beside its values at most: page headers, bounds, and its share of the footer."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Of shard rows."""

    rows: int = 0
    bytes: int = 0
    """Of their values before compression, exact, and of their places in a file, at most."""
    lent: int = 0
    """Pictures of other clips that are decoded and encoded as references."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.rows + other.rows, self.bytes + other.bytes, self.lent + other.lent)


def amount_of(video: VideoRows, shapes: EncoderShapes, settings: EncodeSettings) -> Amount:
    """What the clips of one video give, if all of them can be decoded."""
    total = Amount()
    for plan in video.plans(settings):
        rows = sum(crop.row_count for crop in plan.crops)
        lent = sum(each.owner.shot_id != plan.shot_id for crop in plan.crops for each in crop.candidates)
        total += Amount(rows, planned_bytes(plan, shapes, settings) + rows * ROW_OVERHEAD, lent)
    return total


def amount_of_release(release: Collection, settings: EncodeSettings, encoder_settings: EncoderSettings) -> Amount:
    """What a whole release gives.

    Raises:
        WeightsError: the folder of Stable Video Diffusion is missing.
    """
    shapes = encoder_shapes(encoder_settings)
    return sum((amount_of(video, shapes, settings) for video in videos_of(release, settings)), Amount())


def require_space(store: Store, amount: Amount, settings: EncodeSettings) -> None:
    """Refuse to begin what cannot end. Asks nothing of a root that is no local folder.

    Raises:
        StorageError: the root's disk has less room than `amount` and `settings.free_gib` need.
    """
    free = store.free_bytes()
    needed = amount.bytes + settings.free_gib * 2**30
    if amount.rows and free is not None and free < needed:
        raise StorageError(
            f"{store.root} has {free / 2**30:.2f} GiB free, and encode would write {amount.bytes / 2**30:.2f} GiB "
            f"({amount.rows} rows) and leave {settings.free_gib:g} GiB (encode.free_gib); free some space, or ask for "
            "fewer encode.crops or encode.strides"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderShapes:
    """What the encoders make, as far as the size of a row depends on it."""

    factor: int
    """Pixels for a latent, along one side."""
    latent_channels: int
    """C."""
    embedding_width: int
    """D."""


def encoder_shapes(settings: EncoderSettings) -> EncoderShapes:
    """Without loading any weights.

    Raises:
        WeightsError: a config.json of Stable Video Diffusion's folder is missing or says nothing of this.
    """
    channels, latent = settings.vae.block_out_channels, settings.vae.latent_channels
    width = settings.clip.projection_dim
    if settings.svd is not None:
        try:
            vae, clip = (
                read_json(local_path(settings.svd) / part / "config.json") for part in ("vae", "image_encoder")
            )
            channels, latent, width = vae["block_out_channels"], vae["latent_channels"], clip["projection_dim"]
            return EncoderShapes(
                factor=2 ** (len(channels) - 1), latent_channels=int(latent), embedding_width=int(width)
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(
                f"encoders.svd: {settings.svd} must be the folder of Stable Video Diffusion img2vid-xt, with "
                f"vae/config.json and image_encoder/config.json ({error})"
            ) from error
    return EncoderShapes(factor=2 ** (len(channels) - 1), latent_channels=latent, embedding_width=width)


def planned_bytes(plan: ClipPlan, shapes: EncoderShapes, settings: EncodeSettings) -> int:
    """Bytes of the values of all rows of a clip, before compression: exact."""
    fixed = sum(len(plan.clip[name].encode()) for name in ("shot_id", "video_id", "split")) + _FINGERPRINT
    total = 0
    for crop in plan.crops:
        for windows in crop.windows.values():
            for window in windows:
                counts = _list_lengths(plan, crop, window, shapes, settings)
                total += fixed + len(crop.crop) + len(crop.bucket) + _values_bytes(counts)
    return total


_FINGERPRINT = 64  # characters of the column `encoders`


def _list_lengths(
    plan: ClipPlan, crop: CropPlan, window: range, shapes: EncoderShapes, settings: EncodeSettings
) -> dict[str, int]:
    """Values in each list of a row, as pipelines.storage.tables gives their shapes; of texts their bytes."""
    height, width = (side // shapes.factor for side in crop.framing.size)
    latent = shapes.latent_channels * height * width
    frames = len(window)
    references = row_references(crop.candidates, plan, window)
    return {
        "frame_index": frames,
        "latents": frames * latent,
        "reference_shot_id": sum(len(each.owner.shot_id.encode()) for each in references),
        "reference_crop": sum(len(each.crop) for each in references),
        "reference_index": len(references),
        "reference_latent": len(references) * latent,
        "clip_embedding": len(references) * shapes.embedding_width,
        "face_embedding": len(references) * len(references[0].frame.face_embedding),
        "reference_keypoints": len(references) * KEYPOINT_COUNT * 3,
        "face_present": frames,
        "face_mask": frames * height * width,
        "keypoints": frames * row_people(plan.measured, window, settings.max_people) * KEYPOINT_COUNT * 3,
    }


def _values_bytes(lengths: dict[str, int]) -> int:
    """Of one row, single texts left out."""
    bits = 0
    for field in SHARDS:
        if pa.types.is_list(field.type):
            text = pa.types.is_string(field.type.value_type)
            bits += lengths[field.name] * (8 if text else field.type.value_type.bit_width)
        elif not pa.types.is_string(field.type):
            bits += field.type.bit_width
    return -(-bits // 8)


_FAMILY, _GROUP = "encoder_fingerprints", "encoders"
_SCHEMA = pa.schema([("fingerprint", pa.string())])
_WEIGHTS = (".json", ".safetensors", ".bin")


def known_fingerprint(store: Store, settings: EncoderSettings) -> str | None:
    """As an earlier job computed it; None where none did, or the weights are random or not on this machine."""
    key = _key(settings)
    for path in store.part_paths(_FAMILY, key, _GROUP) if key else ():
        if (row := store.read_part(path)) is not None:
            return str(row["fingerprint"][0].as_py())
    return None


def encoder_fingerprint(store: Store, settings: EncoderSettings, compute: Callable[[], str]) -> str:
    """As remembered, else as `compute` says, which is remembered."""
    known = known_fingerprint(store, settings)
    if known is not None:
        return known
    computed, key = compute(), _key(settings)
    if key is not None:
        store.write_part(_FAMILY, key, _GROUP, pa.table([[computed]], schema=_SCHEMA))
    return computed


def _key(settings: EncoderSettings) -> str | None:
    if settings.svd is None:
        return None
    try:
        files = {
            f"{part}/{path.name}": file_sha256(path)
            for part in ("vae", "image_encoder")
            for path in sorted((local_path(settings.svd) / part).iterdir())
            if path.suffix in _WEIGHTS
        }
    except (OSError, WeightsError):
        return None  # not here: the task on a worker says what is missing
    return fingerprint({"table": _FAMILY, "version": 1, "precision": settings.precision, "files": files})
