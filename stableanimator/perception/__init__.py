"""What looks at frames.

faces, arcface                 InsightFace; ArcFace as a differentiable function of a picture
held_out                       the recogniser that judges results and nothing else
dwpose, skeleton               133 keypoints of each person; OpenPose-18 and the skeleton picture
person_boxes                   where somebody is in a picture, from the keypoints: which of them it shows, and boxes
hands                          where the hands are, from the joints of the arms
point_tracks, cotracker_tracks, point_seeds    tracks of points by KLT or CoTracker, and where they begin
onnx_session, onnx_to_torch    ONNX files, run by ONNX Runtime or as torch modules
settings                       which weights, how sure a detection must be
"""
