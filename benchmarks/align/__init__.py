"""Alignment: Dis of the learned aligner on people it has not seen, against the others.

world                          poses of real clips by the real curation, in folds by person
"""
