"""The Space's entry point."""

import sys

from cbam_viz.ui.launch import launch

if __name__ == "__main__":
    try:
        launch()
    except UnicodeError:  # a ValueError too, but never one of our own
        raise
    except ValueError as error:  # explains itself
        sys.exit(str(error))
