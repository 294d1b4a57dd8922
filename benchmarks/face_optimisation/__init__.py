"""Face optimisation: what each preset does to the final frames, judged by a recogniser that it never saw.

__main__                       the command: which parts, how many people; the sweep that `effective` was chosen by
people                         drawn people, and what is seen of them in frames
base_model                     the small base model: a reference from afar and a close-up drive; a face that is right
analytic                       the same around a denoiser that is known in closed form and needs no training
confinement                    what moves beside the face; the gradient of chunks against that of one graph
memory                         cheaper decoders: their gradients, time, memory and what is gained by them
gains                          gains with their intervals, as figures
sweep                          settings beside each other, judged by the recogniser that is optimised and by PSNR
"""
