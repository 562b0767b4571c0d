"""Files to typed frames and back: data set adapters, augmentation, synthetic sensors."""
