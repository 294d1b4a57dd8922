"""A release becomes training rows.

settings, crops                sizes, cuts, strides; which part of a picture is kept
plan, encode_plan              which rows a clip gives, and what they will need: nothing is decoded
encode, rows, latent_spool     the pool; one clip to its rows; latents that wait for them
reader                         rows by number, for training
pictures                       pictures of clips in one file, for the pretraining of encoders
sheet                          what some rows look like
"""
