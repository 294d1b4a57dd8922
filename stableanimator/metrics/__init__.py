"""How results are scored.

image                          L1, PSNR and SSIM of two frames
identity                       CSIM, and the share of frames in which a face is found
protocol                       how the frames of a prediction become one row, in named protocols
"""
