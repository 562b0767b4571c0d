"""Failed asserts of the tests that all apps share show their values, too."""

import pytest

pytest.register_assert_rewrite("fusion3d_appkit.testing")
