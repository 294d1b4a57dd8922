"""A drawn world with known truth: people whose faces, joints, cameras and cuts are known exactly, frame by frame.

    python -m stableanimator.synthetic.render --count 24 --out DIR --seed 1 --sheet DIR/sheet.png

    clips, script                  scripts: who does what where, and what a curator should decide
    renderer, truth                from scripts to pictures, and what is true of them
    render, tables, sheet          the command, the tables it writes, and a page to look at
    draw_poses                     poses of drawn people, for the aligner to learn from
    scores                         how well detections agree with the truth
    speed                          how fast clips are drawn

All randomness comes from seeds of scripts; any frame can be drawn by itself (`renderer.draw_clip`), so that training
sets for detectors, recognisers and pose networks can be drawn frame by frame without writing videos.
"""
