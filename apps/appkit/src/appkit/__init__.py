"""What the fusion3d apps share: Lightning shell, callbacks, run report."""
