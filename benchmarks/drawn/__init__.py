"""Drawn clips through the real curation, against their truth.

clips, truth                   drawn, stored, measured, judged; what should come out
crossings                      people who hide each other for a while
scores, faces, sheet           how well it did, and a page to look at
"""
