"""What keeps a training from losing anything, and from keeping anything bad.

soundness                      whether losses, gradients and weights are finite numbers
deepspeed_files                DeepSpeed's part of a checkpoint
checksums                      the files of a checkpoint, by what was written
stopping                       a training ends after its step, with a checkpoint, when its driver is stopped
own_ray                        Ray Train asks the right Ray whether a training's driver still lives
"""
