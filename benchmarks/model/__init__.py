"""The networks: names and shapes, differences to the released code, what full size costs.

released, cost                 beside the released modules; counted (benchmarks.gpu runs it)
recogniser                     the layers of a real recogniser, for counting
step, encode_rate              a training step from shards; encode beside a bare loop
"""
