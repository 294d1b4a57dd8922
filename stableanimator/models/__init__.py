"""The networks and their checkpoints.

animator                       the denoiser: U-Net, PoseNet and FaceEncoder, and EDM preconditioning around them
unet, id_adapter               diffusers' spatio-temporal U-Net, and the distribution-aware ID adapter in it
spatio_temporal                layers over time that begin as nothing or are left out; groups of norms
pose_net, face_encoder         skeleton pictures to features; a face embedding to tokens
guidance                       classifier-free guidance that grows over a clip
encoders                       the frozen VAE and image encoder, and a small decoder beside them
group_norm_statistics          windows decoded with the statistics of their frames
counting                       operations and memory of what runs, on tensors without data
checkpoints                    model folders
settings                       of all networks, importable without torch
"""
