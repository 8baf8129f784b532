"""What the server remembers of its visitors, and for how long."""

import datetime
from collections import OrderedDict

from gradio.state_holder import SessionState, StateHolder

#: Most sessions that anything is kept of: of each its gates, about 0.2 MB of a ResNet-50.
SESSIONS = 200
#: Seconds that what a visitor gave is kept after it was last used.
KEPT = 3600


class _Nothing(dict):
    """Takes everything and keeps nothing."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: object) -> dict:
        return {}

    def __setitem__(self, key: object, value: object) -> None:
        pass


class _Sessions(OrderedDict):
    """Gradio's sessions without what it keeps to make deep links of, which there are none of here:
    the layout, and all that was last sent, photo included.
    """

    def __setitem__(self, key: str, session: SessionState) -> None:
        session.config_values = _Nothing()
        super().__setitem__(key, session)


def bound(holder: StateHolder) -> None:
    """Have a holder of sessions keep little of each."""
    holder.session_data = _Sessions(holder.session_data)


def end_idle(holder: StateHolder) -> None:
    """Forget the sessions that were not used for `KEPT` seconds.

    Gradio forgets those that a browser's heartbeat ended; a client without one never ends its.
    """
    long_ago = datetime.datetime.now() - datetime.timedelta(seconds=KEPT)
    for key, used in list(holder.time_last_used.items()):
        if used < long_ago:
            holder.session_data.pop(key, None)
            holder.time_last_used.pop(key, None)
