from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as svd_pipeline
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from stableanimator.errors import ConfigError, WeightsError
from stableanimator.models.encoders import Encoders, clip_pixels, tiny_autoencoder
from stableanimator.models.settings import CLIPSettings, EncoderSettings, Precision, VAESettings

from ...floats import assert_same

pytestmark = pytest.mark.numeric


def _pictures(count: int, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(90, 160), (32, 48), (20, 20), (500, 100)])
def test_clip_preprocessing_is_stable_video_diffusions(height: int, width: int) -> None:
    pictures = _pictures(2, height, width)
    resized = svd_pipeline._resize_with_antialiasing(pictures, (32, 32))
    mean, deviation = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)
    expected = ((resized + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    assert_same(clip_pixels(pictures, 32), expected)


def test_latents_are_the_posterior_mean_times_the_scaling_factor(encoders: Encoders) -> None:
    pictures = _pictures(3)
    moments = encoders.vae.quant_conv(encoders.vae.encoder(pictures))
    latents = encoders.encode(pictures)
    assert latents.shape == (3, 4, 4, 6)
    assert_same(latents, 4.0 * moments[:, :4])
    assert (encoders.factor, encoders.latent_channels, encoders.embedding_width) == (8, 4, 32)


def test_batches_of_the_encoder_do_not_change_results(
    encoders: Encoders, tiny_encoder_settings: EncoderSettings
) -> None:
    pictures = _pictures(5)
    small = Encoders(replace(tiny_encoder_settings, encode_batch=2))
    assert_same(small.encode(pictures), encoders.encode(pictures))
    assert_same(small.embed(pictures), encoders.embed(pictures))


def test_decoding_goes_chunk_by_chunk(encoders: Encoders) -> None:
    latents = torch.randn(5, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.cat(
        [
            encoders.vae.decode(latents[:4] / 4.0, num_frames=4).sample,
            encoders.vae.decode(latents[4:] / 4.0, num_frames=1).sample,
        ]
    )
    assert_same(encoders.decode(latents), expected)
    # The decoder's temporal layers mix the frames of a chunk.
    assert (encoders.decode(latents, 5) - expected).abs().max() > 1e-3


def test_decoding_is_differentiable_and_the_weights_are_frozen(encoders: Encoders) -> None:
    latents = torch.zeros(1, 4, 2, 2, requires_grad=True)
    encoders.decode(latents).sum().backward()
    assert latents.grad is not None
    assert bool((latents.grad != 0).any())
    assert not any(parameter.requires_grad for parameter in encoders.parameters())


def test_computing_the_decoder_again_changes_no_gradient_and_keeps_less(
    tiny_encoder_settings: EncoderSettings,
) -> None:
    gradients, kept = [], []
    for again in (False, True):
        encoders = Encoders(replace(tiny_encoder_settings, checkpoint_decoder=again))
        latents = torch.randn(3, 4, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        sizes: list[int] = []

        def keep(value: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(value.nbytes)
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            encoders.decode(latents).square().mean().backward()
        gradients.append(latents.grad)
        kept.append(sum(sizes))
    assert gradients[0] is not None
    assert gradients[0].abs().max() > 0
    assert_same(gradients[1], gradients[0])
    assert kept[1] < 0.3 * kept[0]


def test_a_seed_gives_the_same_encoders_and_leaves_the_global_state(tiny_encoder_settings: EncoderSettings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = Encoders(tiny_encoder_settings)
    assert torch.equal(torch.rand(3), expected)
    second = Encoders(replace(tiny_encoder_settings, decode_chunk=2))
    assert second.fingerprint == first.fingerprint
    assert Encoders(replace(tiny_encoder_settings, seed=1)).fingerprint != first.fingerprint


def test_the_fingerprint_depends_on_the_scaling_factor(tiny_encoder_settings: EncoderSettings) -> None:
    scaled = replace(tiny_encoder_settings, vae=replace(tiny_encoder_settings.vae, scaling_factor=1.0))
    assert Encoders(scaled).fingerprint != Encoders(tiny_encoder_settings).fingerprint


def test_a_folder_in_stable_video_diffusions_layout_loads(
    tmp_path: Path, encoders: Encoders, tiny_encoder_settings: EncoderSettings
) -> None:
    encoders.vae.save_pretrained(tmp_path / "vae")
    encoders.clip.save_pretrained(tmp_path / "image_encoder")
    loaded = Encoders(EncoderSettings(svd=str(tmp_path)))
    assert loaded.fingerprint == encoders.fingerprint
    pictures = _pictures(2)
    assert_same(loaded.embed(pictures), encoders.embed(pictures))


def test_the_variant_of_16_bits_loads_where_only_that_is_there(tmp_path: Path, encoders: Encoders) -> None:
    deepcopy(encoders.vae).half().save_pretrained(tmp_path / "vae", variant="fp16")
    deepcopy(encoders.clip).half().save_pretrained(tmp_path / "image_encoder", variant="fp16")
    loaded = Encoders(EncoderSettings(svd=str(tmp_path))).state_dict()
    for name, value in encoders.state_dict().items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value.half().to(value.dtype)), name


def test_a_missing_or_broken_folder_is_named(tmp_path: Path, encoders: Encoders) -> None:
    with pytest.raises(WeightsError, match=f"{tmp_path / 'vae'} is missing"):
        Encoders(EncoderSettings(svd=str(tmp_path)))
    encoders.vae.save_pretrained(tmp_path / "vae")
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"vae cannot be loaded"):
        Encoders(EncoderSettings(svd=str(tmp_path)))


def test_pictures_that_do_not_divide_are_refused(encoders: Encoders) -> None:
    with pytest.raises(ValueError, match="multiples of the VAE's 8"):
        encoders.encode(_pictures(1, 30, 48))


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_half_precision_encodes_nearly_the_same_and_decodes_the_very_same(
    precision: Precision, tolerance: float, encoders: Encoders, tiny_encoder_settings: EncoderSettings
) -> None:
    half = Encoders(replace(tiny_encoder_settings, precision=precision))
    pictures = _pictures(3)
    for given, exact in (
        (half.encode(pictures), encoders.encode(pictures)),
        (half.embed(pictures), encoders.embed(pictures)),
    ):
        assert given.dtype == torch.float32
        # A rounding is 2^-9 of a value in bfloat16 and 2^-12 in float16; the networks round some dozens of times.
        assert 0 < (given - exact).abs().max() < tolerance * exact.abs().max()
    latents = encoders.encode(pictures)
    assert_same(half.decode(latents), encoders.decode(latents))
    assert half.fingerprint != encoders.fingerprint


def test_the_fingerprint_at_float32_is_that_of_earlier_shards(encoders: Encoders) -> None:
    """Weights by name, sizes and scaling factor, hashed here as they were before precision was a setting."""
    sizes = {"factor": 8, "scaling": 4.0, "image": 32, "patch": 8, "heads": 2}
    digest = hashlib.sha256(json.dumps(sizes, sort_keys=True).encode())
    for name, tensor in sorted(encoders.state_dict().items()):
        digest.update(f"{name}{list(tensor.shape)}".encode() + tensor.numpy().tobytes())
    assert encoders.fingerprint == digest.hexdigest()


def test_an_overflow_of_float16_is_named(tiny_encoder_settings: EncoderSettings) -> None:
    half = Encoders(replace(tiny_encoder_settings, precision="float16"))
    half.vae.encoder.conv_in.weight.mul_(1e6)
    with pytest.raises(ConfigError, match=r"encoders\.precision: .* overflows in float16; set bfloat16 or float32"):
        half.encode(_pictures(1))


def test_the_tiny_decoder_is_taesds_at_its_real_shapes(tmp_path: Path) -> None:
    """TAESD is what diffusers builds without a word: 1,222,532 weights in the decoder."""
    ours, upstream = tiny_autoencoder(8, 4, 64), AutoencoderTiny()
    shapes = [{name: each.shape for name, each in network.decoder.state_dict().items()} for network in (ours, upstream)]
    assert shapes[0] == shapes[1]
    assert sum(each.numel() for each in ours.decoder.parameters()) == 1_222_531
    upstream.save_pretrained(tmp_path)
    vae = VAESettings(block_out_channels=(32, 32, 32, 32), layers_per_block=1)
    clip = CLIPSettings(
        hidden_size=32, intermediate_size=64, layers=1, heads=2, image_size=32, patch_size=8, projection_dim=32
    )
    settings = EncoderSettings(vae=vae, clip=clip, tiny_decoder=str(tmp_path))
    encoders, latents = Encoders(settings), torch.randn(2, 4, 6, 5)
    with torch.no_grad():
        assert_same(encoders.decode_tiny(latents), upstream.decode(latents).sample)
    assert encoders.decode_tiny(latents).shape == (2, 3, 48, 40)
    without = Encoders(replace(settings, tiny_decoder=None))
    assert encoders.fingerprint == without.fingerprint
    with pytest.raises(ValueError, match="no tiny decoder"):
        without.decode_tiny(latents)


def test_a_tiny_decoder_of_another_vae_or_none_is_refused(
    tiny_encoder_settings: EncoderSettings, tmp_path: Path
) -> None:
    tiny_autoencoder(4, 4, 8).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="4 pixels a latent of 4 channels, the VAE has 8 and 4"):
        Encoders(replace(tiny_encoder_settings, tiny_decoder=str(tmp_path)))
    with pytest.raises(WeightsError, match=r"encoders\.tiny_decoder: .*nowhere cannot be loaded"):
        Encoders(replace(tiny_encoder_settings, tiny_decoder=str(tmp_path / "nowhere")))
