"""Whether the metrics are what they say, how fast they are, and whether they order results of known wrongness.

__main__                       the command: which parts, how many clips; the figures and their bars
image                          picture metrics beside a loop over frames as DisCo's script has it
agreement                      each metric beside an independent computation of the same
restated                       these computations: slow, literal, sharing nothing with the metrics
wrongness                      drawn results that are wrong by known amounts, and in which order columns put them
drawn_people                   many short drawn videos of some people, measured
people                         splits by person: nobody on both sides, people found, the share that was asked for
duplicates                     near-duplicates: copies of some of these videos, found again
memory                         what the worker that evaluates holds after 10 videos, and after 100
"""
