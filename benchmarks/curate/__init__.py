"""Curation beside the public workflow, beside a pool of processes, and against itself.

variants, world                the ways of curating that are compared; on which clips and networks
"""
