"""Entry points: one module for each verb of `ray job submit -- python -m jobs.<verb>`.

curate, encode                 sources to a release, a release to shards
align, alignment_table, train  the aligner, Table III, the model
pretrain_encoders              small encoders of one's own, where Stable Video Diffusion's are too large
distill_decoder                a small decoder that gives face optimisation its gradients
benchmark                      videos of one's own to one of the papers' benchmark sets
animate, evaluate              pairs to videos, videos to metrics
latency                        seconds and memory of an animation
releases, export               look after releases; a model in other formats
submit                         `ray job submit` with care

`rebuild` (several as one job, as far as something changed), `doctor`, `demo`, `weights` and `animate_one` (one picture
and one video, without Ray) are folders beside them.
"""
