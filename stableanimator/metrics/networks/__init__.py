"""The networks whose features pictures and videos are compared by.

lpips                          LPIPS over the trunk of VGG16, AlexNet or SqueezeNet 1.1
i3d                            Inception I3D: 400 logits of a clip, behind FVD
resnet3d                       3D ResNet-50: pooled features of 16 frames, behind FID-VID
inception                      Inception V3 with TensorFlow's pooling: pooled features of a frame, behind FID
preparing                      what the published scripts do to a frame before each of these
published                      which files the published numbers were made with, and what a column is called
loading                        weights files to networks, or to the reason why a column is missing
"""
