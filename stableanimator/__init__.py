"""The model library of StableAnimator++: importable with no Ray, MLflow, DeepSpeed or pydantic.

animate_cost                   what an animation takes, counted on tensors without data
animate, animate_settings      a reference picture and driving poses become frames: the one inference path
inference                      its parts: what it takes and gives, the cut, conditions, optimised faces
driving                        from the poses of a driving video to what the model is driven by
tracklets                      who is who in the poses of a video
training, training_settings    one training step: rows of shards become a batch and a loss
pretraining, pretraining_settings    what small encoders are trained towards
distillation                   a small decoder learns what a VAE's decoder shows
state_files                    weights in files, written whole or not at all
limits                         what values settings may have: numbers in ranges, names, places
paths                          paths and URIs, joined and taken apart; JSON of others; files of our own
redaction                      what is secret in a text, and the text without it
errors                         every error that is raised on purpose
"""
