import pytest
from fusion3d_appkit.testing import AppTests

pytestmark = pytest.mark.filterwarnings("ignore")


class TestApp(AppTests):
    pass
