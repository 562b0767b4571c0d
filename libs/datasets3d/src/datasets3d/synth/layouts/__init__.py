"""Writers of official layouts: what the sensors record of a synthetic world, as in KITTI or nuScenes."""
