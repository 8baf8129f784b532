"""The Space's entry point."""

from cbam_viz.ui.page import launch

if __name__ == "__main__":
    launch()
