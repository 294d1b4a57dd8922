"""How results are scored.

settings                       protocols by name, files of the networks that see features, what is accepted
image                          L1, PSNR and SSIM of two frames
identity                       CSIM by two recognisers, and the share of frames in which a face is found
pose                           PCK: wanted joints that are found again
motion                         whether joints move alike and in time, and how far the aligned drive is from the truth
flicker                        noise over time, and seams between windows
frechet                        Fréchet distance of features: FVD, FID-VID, FID
networks                       LPIPS, I3D, 3D ResNet-50, Inception
protocol                       the definitions of each protocol
seen                           one frame, and what is seen in it, once
clips                          features of a video's frames and clips
scoring                        the metrics of a result, and of a set of results
verdict                        whether a result is accepted, and thresholds from accepted ones
intervals                      means over people, with bootstrap intervals
"""
