"""What an animation will show, told before anything dear is done.

figures                        what is measured of a driven person: scale, place, posture, what the picture cuts
warnings                       what of that users would mend, each with a name and a sentence
look                           both of all people of a pair
sheet                          the same as a picture, for people
"""
