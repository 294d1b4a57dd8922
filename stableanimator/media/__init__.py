"""Videos and pictures, in and out.

video                          files to upright RGB frames with their times, and back
pictures                       still pictures of any usual kind to upright RGB
video_index, video_decoder     what packets say about frames; decoded pictures by index
prefetch                       an iterator that works ahead on a thread
framing                        how a picture of any size becomes one of the model's
tensors                        between bytes and floats in [-1, 1]
side_by_side                   frames beside each other under their names, for people
"""
