"""Types that several packages name."""

from typing import Any, TypeAlias

import numpy as np

#: An array of any shape and data type.
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
