"""Small perception networks for the drawn world: how they are made.

`python -m stableanimator.synthetic.networks.train --work FOLDER` draws the frames, trains and exports.
"""
