"""How results are scored.

image                          L1, PSNR and SSIM of two frames
identity                       CSIM by two recognisers, and the share of frames in which a face is found
pose                           PCK: joints of the truth that are found again in the result
protocol                       how the frames of a prediction become one row, in named protocols
intervals                      means over people, with bootstrap intervals
"""
