"""Results become numbers: the work of `evaluate`.

results                        what other systems made of the pairs, as rows that are measured like predictions
frames                         the frames of a prediction, of its truth and of its reference, cut alike; side by side
metrics                        the actor that judges; the predictions of a pair to rows of metrics
means                          figures of a variant: means with intervals, distances of sets, who is ahead
gains                          what face optimisation changed
lineage                        settings and collections that decide the numbers of a prediction set
report                         a table of the figures, and side-by-side videos
"""
