"""How well an alignment does.

drives                         a reference pose, and a misaligned clip of the same person with its truth
evaluate                       Dis, the mean distance of aligned poses to the true ones (Table III)
pictures                       reference, driven, aligned and true pose, for people
"""
