"""The Space's entry point."""

from cbam_viz.ui.launch import launch

if __name__ == "__main__":
    launch()
