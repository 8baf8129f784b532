"""The Space's entry point."""

import sys

from cbam_viz.ui.launch import launch

if __name__ == "__main__":
    try:
        launch()
    except ValueError as error:  # explains itself
        sys.exit(str(error))
