"""VoxMol: denoising voxelised molecules with a 3D U-Net that has no symmetry built in."""
