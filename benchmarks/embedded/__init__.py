"""What the small base model of the package can do, on drawn people that no training saw.

    python -m benchmarks.embedded [--parts own_frame,far,misaligned,demo] [--clips 40] [--model FOLDER] [--sheet P.png]

__main__.py       the command: draws people, animates, judges, reports
people.py         drawn people as references and drives
judge.py          what is seen in frames, and how near that is to the truth
own_frame.py      each clip drives its own first frame: motion, faces, pictures, background
far.py            a reference from afar and a close-up drive: what the face embedding and face optimisation do
misaligned.py     drives that do not fit: what alignment does
"""
