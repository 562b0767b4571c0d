"""What the fusion3d apps share: Lightning shell, loggers, optimiser schedule, pictures and run report.

Import the module you need (`from fusion3d_appkit.report import Report`); the package itself imports nothing.
"""

__version__ = "0.1.0"
