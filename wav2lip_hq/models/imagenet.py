"""What networks trained on ImageNet want their input normalized with: RGB in [0, 1], (x - MEAN) / STD."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
