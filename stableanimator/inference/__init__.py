"""The parts of the inference path, which `stableanimator.animate` puts together.

inputs                         what it takes and gives: networks, reference, drive, animation
loading                        the networks from a model folder
cut                            how a reference becomes a picture of the model's size
conditions                     what the denoiser reads of a clip, a window of frames at a time
optimised_faces                the faces that face optimisation draws towards the reference's
"""
