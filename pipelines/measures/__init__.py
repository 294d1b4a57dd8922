"""What is measured of one shot: a session for each measure, fed frame by frame; no store, no Ray, no sibling.

frames                         one sampled frame on its way through the measures
shots                          where the camera was switched
people, face_quality, keypoints, camera_motion, picture, picture_hash, thumbnail    the measures
background_motion, subject_motion, person_outline    what camera_motion is computed with
"""
