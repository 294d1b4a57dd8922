"""Small perception networks for the drawn world: how they are made.

    python -m stableanimator.synthetic.networks.train --work FOLDER

draws frames, trains and exports.

    training_frames, looks, pasted_scenes    what they learn from
    backbone, training             what all share: convolutions, and the one loop
    face_detector, person_detector, pose_network, recognisers    the networks
    export, train                  to ONNX files; the command
"""
