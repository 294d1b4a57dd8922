"""Faults at random moments of every job, and whether all is as if nothing had happened once the job has run again.

__main__       the command: which faults, how many, the tally
plan           which fault strikes which verb when, from a seed
world          drawn videos, settings, a tracker and a root; a run of a verb and the processes that belong to it
injections     a fault each: what is prepared, what happens at the moment, what is put right afterwards
wall_clock.c   preloaded: another time on the wall
mounts         roots that can be full or not answer
contents       what a root holds, byte for byte or row for row, and what differs from another
strike         one fault from its beginning to its verdict
"""
