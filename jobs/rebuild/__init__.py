"""A dataset brought up to date as one job: only what changed lists, thresholds, weights or settings ask for.

line                           the jobs one after another, each reading what the one before it made
receipts                       what a job made of which inputs, so that equal inputs are not worked on again
plan, costs                    what a rebuild would do, told before anything is; hours of a GPU by counted operations
differences                    what became of the last release
settings                       which jobs belong to a rebuild
"""
