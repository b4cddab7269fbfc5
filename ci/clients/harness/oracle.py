"""What may be found under each name after the server died: the last acknowledged state, or one that was in flight."""

import threading

ABSENT = None


class Oracle:
    """Names are written by one client each, so that a name has at most one operation in flight."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked, self.possible, self.count = {}, {}, 0

    def begin(self, name, state):
        with self.lock:
            self.possible.setdefault(name, []).append(state)

    def ack(self, name, state):
        with self.lock:
            self.acked[name] = state
            self.possible.pop(name, None)
            self.count += 1

    def allowed(self, name):
        return [self.acked.get(name, ABSENT), *self.possible.get(name, [])]

    def names(self):
        return sorted(set(self.acked) | set(self.possible))

    def settle(self, name, state):
        """What was found is what holds from now on."""
        self.acked[name] = state
        self.possible.pop(name, None)
