"""Results judged, and pairs tried again: the one place where what animates meets what judges.

judge                          a finished row to figures, by networks that nothing optimises against
figures                        what a result is judged by, as the store remembers it
tries                          which try is kept, and rows of earlier runs
actor                          animates and judges until a result is accepted
acceptance                     how many were accepted, at what cost, and why not
propose                        the command that takes thresholds from results that a person accepts
"""
