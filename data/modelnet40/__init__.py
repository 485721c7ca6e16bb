"""ModelNet40 point clouds, real, rebuilt from voxels or generated, in one packed store."""
