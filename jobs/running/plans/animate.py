"""What `jobs.animate` would make, and what face optimisation takes in each of its modes.

Only the latter needs torch and diffusers, which take seconds to import: they are, where it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.running.config import Config
from stableanimator.animate_settings import AnimateSettings
from stableanimator.errors import WeightsError
from stableanimator.media.framing import Size
from stableanimator.media.video import LOSSLESS_SHARE
from stableanimator.models.settings import CLIPSettings, EncoderSettings
from stableanimator.paths import local_path, read_json

if TYPE_CHECKING:
    from stableanimator.animate_cost import AnimateCost


def animate_plan(config: Config, costs: bool = False) -> str:
    """The variants; with `costs` also, of the first that optimises faces, memory and operations of every mode at the
    largest size."""
    variants = config.animate.variants
    if config.animate.preview:
        return "animate looks at every pair: a sheet and a row of figures and warnings; nothing is animated"
    lines = [f"animate makes of every pair: {', '.join(variants)}", *_lossless(config), *_judged(config)]
    optimised = next((name for name, each in variants.items() if each.face_optimisation), None)
    if optimised is None:
        return "\n".join(lines)
    if not costs:
        return "\n".join(
            [*lines, f"what face optimisation of {optimised} takes is counted with --costs, in ten seconds"]
        )
    return "\n".join([*lines, *_costs(config, optimised)])


def _costs(config: Config, variant: str) -> Iterator[str]:
    import torch

    from stableanimator.animate_cost import TAESD, animate_costs

    settings = config.animate.variants[variant]
    size = max(settings.sizes, key=lambda each: each[0] * each[1])
    try:
        encoders = encoder_sizes(config.encoders)
        tiny = _tiny_sizes(config.encoders) or TAESD
    except WeightsError as error:
        yield f"what face optimisation takes is known when there are encoders: {error}"
        return
    counted = animate_costs(config.model, encoders, settings, size, getattr(torch, config.animate.precision), tiny=tiny)
    yield _heading(variant, settings, size)
    yield from (_line(cost, settings) for cost in counted)
    yield _longer(next(cost for cost in counted if _chosen(cost, settings)))


def _lossless(config: Config) -> Iterator[str]:
    """What the frames without loss take, where they are wanted."""
    if config.animate.lossless:
        height, width = max((size for each in config.animate.variants.values() for size in each.sizes), key=math.prod)
        least, most = (share * 100 * height * width * 3 / 1e6 for share in LOSSLESS_SHARE)
        yield (
            f"frames without loss, for metrics: {least:.3g} to {most:.3g} MB for 100 frames of {height}x{width}, of "
            "each variant (animate.lossless: false keeps the mp4 alone)"
        )


def _judged(config: Config) -> Iterator[str]:
    """By what results are judged, where they are."""
    asked = ", ".join(f"{name} {value:g}" for name, value in config.animate.accept.thresholds.items())
    if asked:
        tries = config.animate.tries
        yield f"results are accepted by {asked}" + (f"; up to {tries} tries, each of which is stored" * (tries > 1))


def _heading(variant: str, settings: AnimateSettings, size: Size) -> str:
    frames = min(settings.window, settings.max_frames or settings.window)
    return (
        f"face optimisation of {variant}, {frames} frames of {size[0]}x{size[1]}, a face of a seventh of "
        "the shorter side, counted without the recogniser; the rest of an animation beside it:"
    )


def _longer(cost: AnimateCost) -> str:
    return (
        f"each frame more: {_tera(cost.frame_flops)} TFLOP, no more GPU memory, and {cost.frame_bytes / 1e6:.2f} MB of "
        "main memory or, of a long drive, of the temporary folder"
    )


def _chosen(cost: AnimateCost, settings: AnimateSettings) -> bool:
    return (settings.hjb.region, settings.hjb.decoder) == (cost.region, cost.decoder)


def _line(cost: AnimateCost, settings: AnimateSettings) -> str:
    gib = 2**30
    rest = max(cost.sampling_bytes, cost.decoding_bytes) / gib
    return (
        f"  region {cost.region}, decoder {cost.decoder}: {cost.optimising_bytes / gib:.2f} GiB beside {rest:.2f}, "
        f"{_tera(cost.optimising_flops)} TFLOP beside {_tera(cost.sampling_flops + cost.decoding_flops)}"
        f"{' (chosen)' * _chosen(cost, settings)}"
    )


def _tera(flops: float) -> str:
    value = flops / 1e12
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def encoder_sizes(settings: EncoderSettings) -> EncoderSettings:
    """The same with the sizes of what lies in `svd`, without loading any weights.

    Raises:
        WeightsError: a config.json of Stable Video Diffusion's folder is missing or says nothing of this.
    """
    if settings.svd is None:
        return settings
    try:
        vae, clip = (read_json(local_path(settings.svd) / part / "config.json") for part in ("vae", "image_encoder"))
        sizes = replace(
            settings.vae,
            block_out_channels=tuple(vae["block_out_channels"]),
            layers_per_block=vae["layers_per_block"],
            latent_channels=vae["latent_channels"],
            norm_groups=vae.get("norm_num_groups", 32),
        )
        image = CLIPSettings(
            hidden_size=clip["hidden_size"],
            intermediate_size=clip["intermediate_size"],
            layers=clip["num_hidden_layers"],
            heads=clip["num_attention_heads"],
            image_size=clip["image_size"],
            patch_size=clip["patch_size"],
            projection_dim=clip["projection_dim"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"encoders.svd: {settings.svd} must be the folder of Stable Video Diffusion img2vid-xt, with "
            f"vae/config.json and image_encoder/config.json ({error})"
        ) from error
    return replace(settings, vae=sizes, clip=image)


def _tiny_sizes(settings: EncoderSettings) -> tuple[int, int] | None:
    """Width and blocks of the small decoder; None where none is named."""
    if settings.tiny_decoder is None:
        return None
    try:
        described = read_json(local_path(settings.tiny_decoder) / "config.json")
        return described["decoder_block_out_channels"][0], described["num_decoder_blocks"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise WeightsError(
            f"encoders.tiny_decoder: {settings.tiny_decoder} has no config.json of its kind ({error})"
        ) from error
