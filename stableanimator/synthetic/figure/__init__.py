"""People, from a seed to coloured patches.

identity, palette              who someone is: genes of a face and a head, colours
geometry, body, poses, motions    angles over time, and where joints are then
head, landmarks                the shape of a head, and the 68 points of its face
face, hair, clothes, patches   what that looks like
actor                          all of it: one person by seed
"""
