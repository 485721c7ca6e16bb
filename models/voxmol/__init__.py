"""VoxMol: denoising voxelised molecules with a 3D U-Net, which is not equivariant."""
