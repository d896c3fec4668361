"""Quality figures: ``lipsync`` (LSE-D, LSE-C, offset), ``image`` (PSNR, SSIM), ``perceptual`` (LPIPS)."""
