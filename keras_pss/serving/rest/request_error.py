"""What is wrong with a request."""


class RequestError(ValueError):
    """A request that cannot be answered; the server goes on.

    Args:
        message: What the client is told.
        status: The status of HTTP. Default: 400.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status
