"""A row of a pairs table: the batch work of `animate`.

pairs_table                    the table, and what can be said of a row before any file is opened
files                          what a row names: checksums when a job is planned, looked at when it is read
people                         the people of a frame and their joints
inputs, drives                 a row to what the inference path takes; driving poses, those of a table too
model                          which model animates, and what all pairs of a job share
predicted_files                whether the files of a prediction are what was written
cost                           seconds and memory of a piece of work
animate_job                    what all pairs of a job share, and the rows of earlier runs
animate                        the actor that holds the models; a row to an mp4
verdicts                       when a prediction, or a whole job, is not good enough
latency                        how long an animation takes, and how much memory
settings                       of these jobs, importable without Ray
"""
