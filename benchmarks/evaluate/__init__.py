"""What is measured of how results are judged, and of what they are judged on.

drawn_people                   many short drawn videos of some people, measured
people                         splits by person: nobody on both sides, people found, the share that was asked for
duplicates                     near-duplicates: copies of some of these videos, found again
"""
