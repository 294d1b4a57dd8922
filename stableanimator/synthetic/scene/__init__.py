"""What is behind people, the camera, and the brush.

sets, indoor_sets, outdoor_sets, painter    painted places
camera                         cameras that move by known amounts
living                         places that change by themselves
canvas, drawing                figures onto the picture, and which surface is where
"""
