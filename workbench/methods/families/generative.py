"""Generative family: a generator for each modality synthesises what a sample lacks from what it has, trained jointly with the task.

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024), after Zhao, Zhang, Geng: Deep multimodal data fusion. ACM Computing Surveys
56(9), 2024, section on generative-neural-network-based fusion. "Tricky in training" is met by detached, standardised targets, bounded log variances
and a bounded denoiser (see the operators).
"""

from typing import Literal

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.generative import SynthesiseMissing
from workbench.fusion.generators import ConditionalVAE, LatentDiffusion
from workbench.methods import Method, at_least_two
from workbench.methods.networks import VectorConfig, post_layers, vector_networks
from workbench.model import FusionModel


class GenerativeConfig(VectorConfig):
    """What the strategies share."""

    missing: Literal["synthesis", "zeros"] = Field("synthesis", description="what stands where a modality is missing, in training and after it")
    condition: Literal["concatenation", "mean"] = Field(
        "concatenation", description="what a generator is told: the other modalities' representations side by side, or their mean"
    )
    drop: float = Field(0.2, ge=0, lt=1, description="rate at which a modality of a training sample is hidden, so that its synthesis is used")
    generator_size: int = Field(64, ge=1, le=8192, description="hidden width of the generators")
    generator_weight: float = Field(1.0, gt=0, le=1000, description="weight of the generators' losses beside the task loss")


class CVAEConfig(GenerativeConfig):
    """Settings of `generative.cvae`."""

    latent_size: int = Field(16, ge=1, le=4096, description="width of the latent vector")
    beta: float = Field(1.0, ge=0, le=1000, description="weight of the KL term")


class DiffusionConfig(GenerativeConfig):
    """Settings of `generative.diffusion`."""

    steps: int = Field(50, ge=2, le=10_000, description="noise steps T of the diffusion")
    sampling_steps: int = Field(5, ge=1, le=10_000, description="deterministic steps of a synthesis")
    draws: int = Field(8, ge=1, le=1000, description="fixed start noises whose syntheses are averaged")


def build_cvae(config: CVAEConfig, spec: Spec) -> FusionModel:
    """The model of `generative.cvae`."""
    at_least_two(spec, owner="generative.cvae")

    def generator(size: int, condition_size: int) -> nn.Module:
        return ConditionalVAE(size, condition_size, latent_size=config.latent_size, inner_size=config.generator_size, beta=config.beta)

    return _model(config, spec, generator)


def build_diffusion(config: DiffusionConfig, spec: Spec) -> FusionModel:
    """The model of `generative.diffusion`."""
    at_least_two(spec, owner="generative.diffusion")

    def generator(size: int, condition_size: int) -> nn.Module:
        return LatentDiffusion(
            size, condition_size, inner_size=config.generator_size, steps=config.steps, sampling_steps=config.sampling_steps, draws=config.draws
        )

    return _model(config, spec, generator)


def _model(config: GenerativeConfig, spec: Spec, generator: object) -> FusionModel:
    encoders, projections = vector_networks(config, spec)
    fusion = SynthesiseMissing(
        tuple(spec.modalities), config.hidden_size, generator, missing=config.missing, condition=config.condition, drop=config.drop,
        weight=config.generator_weight,
    )  # fmt: skip
    head = post_layers(fusion.size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)


STRATEGIES = {
    "cvae": Method(
        "Conditional VAE: a missing modality's representation is synthesised from the others by a variational autoencoder.\n\n"
        + (ConditionalVAE.__doc__ or "") + "\n" + (SynthesiseMissing.__doc__ or ""),
        "generative", CVAEConfig, build_cvae,
    ),
    "diffusion": Method(
        "Latent diffusion: a missing modality's representation is synthesised from the others by removing noise in few steps.\n\n"
        + (LatentDiffusion.__doc__ or "") + "\n" + (SynthesiseMissing.__doc__ or ""),
        "generative", DiffusionConfig, build_diffusion,
    ),
}  # fmt: skip
"""Name of each strategy and what the registry knows of it."""
