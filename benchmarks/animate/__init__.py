"""Animations of any length: seams, drift along ten thousand frames, memory and time of a frame; verdicts.

__main__                       the command: which parts, how long; the figures and their bars
world                          drawn people who move to and fro, and the small base model that animates them
seen                           how far frames are from their truth: colour, pose, identity, sharpness
seams                          frame differences at windows' borders over elsewhere; beside single windows
closed_form                    the same around a denoiser that is known in closed form and mixes frames: which windows
drift                          errors along a drive of ten thousand frames, and a plot of them
memory                         peak memory and time of a frame, of long drives over short ones
preview                        how often the warnings of a look are right
preview_cases, preview_people    drawn cases of each warning, and near misses; the people in them
whole_jobs                     coverage of a MisAlign set by the jobs, and what `jobs.animate` takes over the library
verdicts                       which drawn results of known truth are accepted: right ones, and six ways to be wrong
"""
