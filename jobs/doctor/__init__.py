"""What is missing on this machine or cluster, and what to do about it.

findings                       what a check says: right, wrong or not known, with a way out
preflight                      what can be told from outside: versions, and whether the configuration fits by count
machines                       what every machine says of itself
settings                       which jobs are looked after
"""
