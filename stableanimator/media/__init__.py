"""Videos and pictures, in and out.

video                          files to RGB frames as they are shown, with their times, and back
audio                          the sound of a part of a video, put into another one
pictures                       still pictures of any usual kind to upright RGB
frame_folder                   folders of pictures as clips
container                      which files are videos, and how they are opened
video_index                    which frames are shown, and when
decoding, display              the walk through a stream; from a decoded picture to the one that is shown
video_decoder                  pictures by index
prefetch                       an iterator that works ahead on a thread
frame_store                    room for the frames of a clip of any length
framing                        how a picture of any size becomes one of the model's
tensors                        between bytes and floats in [-1, 1]
side_by_side                   frames beside each other under their names, for people
"""
