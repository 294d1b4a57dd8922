"""Noise, sampling, and face optimisation.

edm                            preconditioning, training noise and loss
long_video                     clips of any length: overlapping windows, fused at every step
sampler                        EDM's stochastic sampler with a hook on the predicted sample
hjb                            that hook: HJB face optimisation (StableAnimator++ Algorithm 1)
settings                       of all three, importable without torch
"""
