"""MisAlign100 and its like: pairs of a reference picture and a driving video, with the truth.

sets, settings                 from held-out clips to a pairs table; which pairs are made
"""
