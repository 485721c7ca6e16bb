"""VN-PointNet: rotation-invariant classification of point clouds with vector neurons."""
