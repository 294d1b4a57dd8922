"""Side-by-side measurements: `make bench NAME=<name>`, which is `python -m benchmarks.<name>`.

shots, reselect, rebuild, distributions, synthetic, gpu    a benchmark each
harness, processes             what all share: figures with bars, timing side by side, spread work
"""
