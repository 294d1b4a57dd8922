"""The one training loop, and what it trains.

loop, deepspeed_config         Ray Train starts workers, DeepSpeed shares the work
weight_average                 the running mean of the weights
task                           what the loop asks of what it trains
align_task, denoiser_task, encoder_task, distill_task    the four that there are
sample_order                   which sample is trained on when
run_folder                     what a training was started with, and its checkpoints
progress, dis_report           what it says of itself; Dis of alignments as rows and tables
aligners                       aligners by what a configuration calls them
settings                       of all trainings, importable without torch
"""
