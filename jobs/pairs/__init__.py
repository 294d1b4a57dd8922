"""A row of a pairs table: the batch work of `animate` and `evaluate`.

inputs                         a row to what the inference path takes
animate                        the actor that holds the models; a row to an mp4
metrics                        a row of predictions to metrics and a side-by-side video
settings                       of both jobs, importable without Ray
"""
