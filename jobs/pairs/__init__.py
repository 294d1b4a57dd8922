"""A row of a pairs table: the batch work of `animate` and `evaluate`.

pairs_table                    the table, and what can be said of a row before any file is opened
people                         the people of a frame and their joints
inputs, drives                 a row to what the inference path takes; driving poses, those of a table too
model                          which model animates, and what all pairs of a job share
results                        what other systems made of the pairs, as rows that are measured like predictions
cost                           seconds and memory of a piece of work
animate                        the actor that holds the models; a row to an mp4
verdicts                       when a prediction, or a whole job, is not good enough
metrics, gains                 a row of predictions to metrics and a side-by-side video; what face optimisation changed
lineage                        settings and collections that decide the numbers of a prediction set
latency                        how long an animation takes, and how much memory
settings                       of these jobs, importable without Ray
"""
