"""How results show themselves in a notebook."""

import base64
import html
import io

import numpy as np
from PIL import Image

from ..explain.explanation import BlockAttention, Explanation
from ..render.charts import channel_chart
from ..render.overlay import Look, colour_table
from .standalone import standalone_html

#: Height of the viewer and of a block's map, in px.
VIEWER_HEIGHT, MAP_HEIGHT = 760, 300


def explanation_html(explanation: Explanation) -> str:
    """The viewer in a frame of its own; where scripts are off, the photo and a sentence."""
    page = html.escape(standalone_html(explanation))
    # Sandboxed: a class name or a photo's name is anybody's, and the notebook is its user's.
    return (
        f'<iframe srcdoc="{page}" sandbox="allow-scripts" loading="lazy" '
        f'style="width: 100%; height: {VIEWER_HEIGHT}px; border: 0"></iframe>'
    )


def block_html(block: BlockAttention) -> str:
    """The cells of the spatial gate on the scale from 0 to 1, beside the channel gate's chart."""
    levels = np.rint(block.spatial * 255).astype(np.uint8)
    cells = Image.fromarray(colour_table(Look.colours)[levels])
    rows, columns = block.spatial.shape
    size = round(MAP_HEIGHT * columns / rows), MAP_HEIGHT
    pictures = {
        f"Spatial gate of {block.name}": cells.resize(size, Image.Resampling.NEAREST),
        f"Channel gate of {block.name}": channel_chart(block.channel, block.name),
    }
    return "".join(
        f'<img alt="{html.escape(words)}" src="{_data_url(picture)}">'
        for words, picture in pictures.items()
    )


def _data_url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
