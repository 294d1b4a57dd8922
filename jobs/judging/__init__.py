"""Results judged, and pairs tried again: the one place where what animates meets what judges.

judge                          a finished row to figures, by networks that nothing optimises against
tries                          the actor that animates and judges until a result is accepted; rows of earlier runs
acceptance                     how many were accepted, at what cost, and why not
propose                        the command that takes thresholds from results that a person accepts
"""
