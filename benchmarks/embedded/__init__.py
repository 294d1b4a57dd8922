"""What the small base model of the package can do, on drawn people that no training saw.

__main__                       the command: which model, which parts, which people; the figures and their bars
people                         drawn people as references and drives
judge                          what is seen in frames, and how near that is to the truth
own_frame                      each clip drives its own first frame: motion, faces, pictures, background
far                            a reference from afar, a close-up drive: what face embedding and face optimisation do
misaligned                     drives that do not fit: what alignment does
"""
