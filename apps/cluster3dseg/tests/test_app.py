from fusion3d_appkit.testing import AppTests


class TestApp(AppTests):
    """What every app is tested for."""
