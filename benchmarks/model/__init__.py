"""The networks: names and shapes, differences to the released code, what full size costs.

released, cost, cuda           beside the released modules; counted; run, where there is a GPU
step, encode_rate              a training step from shards; encode beside a bare loop
"""
