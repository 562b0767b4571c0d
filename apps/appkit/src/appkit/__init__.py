"""What the fusion3d apps share: Lightning shell, loggers, optimiser schedule, pictures and run report.

Import the module you need (`from appkit.report import Report`); nothing heavy is imported by `import appkit`.
"""
