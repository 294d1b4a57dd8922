"""What the aligner learns from.

pose_clips                     poses of many clips in two mapped files
augmentation                   new people out of known ones: mirrored, stretched, cropped
procedural                     people who were never filmed
misalignment                   how driven poses are moved away from the truth; benchmark sets draw from it too
training_pairs                 reference, truth and misaligned truth: one sample
draws                          random numbers of which every row has a stream of its own
"""
