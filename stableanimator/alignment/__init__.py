"""Pose alignment, StableAnimator++ Eq. 1-12.

poses, similarity              OpenPose-18 skeletons; similarity transforms and their closed-form fit
baselines, per_bone            the alignments to compare the learned one with
clip_transform                 one transform for a whole clip, from one a frame
aligner, aligner_folder        the network, and its files
methods                        all of them by name
settings                       of everything here, importable without torch
"""
