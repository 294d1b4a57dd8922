"""MisAlign100 and its like: pairs of a reference picture and a driving video, with the truth.

self_driven                    what is drawn of a clip that drives its own picture, and the row that comes of it
sets, settings                 from held-out clips to a pairs table; which pairs are made
named, named_settings          the papers' sets from videos of one's own: MisAlign100, Unseen100, TikTok, characters
frame_folders                  videos that come as folders of pictures
"""
