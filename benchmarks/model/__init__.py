"""The networks: names and shapes, differences to the released code, what full size costs.

released, cost                 beside the released modules; counted (benchmarks.gpu runs it)
step, encode_rate              a training step from shards; encode beside a bare loop
"""
