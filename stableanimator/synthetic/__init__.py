"""A drawn world with known truth: people whose faces, joints, cameras and cuts are known exactly, frame by frame.

    python -m stableanimator.synthetic.render --count 24 --out DIR --seed 1 --sheet DIR/sheet.png

From a seed to a video:

    identity, body, clothes    who someone is: genes of a face, proportions, an outfit   (actor)
    poses, motions             what someone does: angles and expressions over time
    body, head, landmarks      where every joint and every point of the face is then
    face, hair, clothes        what that looks like, as coloured patches                 (patches)
    painter, sets, camera      where it happens, and how the camera moves
    clips                      scripts: kinds of clips, and what a curator should decide
    canvas, drawing, renderer  pictures, and the truth of what they show                 (truth)
    render, tables, sheet      the command

All randomness comes from seeds of scripts; any frame can be drawn by itself (`renderer.draw_clip`), so that training
sets for detectors, recognisers and pose networks can be drawn frame by frame without writing videos.
"""
