"""What is raised when input servers do not send what they should."""


class InputLost(OSError):
    """No input server can go on, so that training cannot."""
