"""What prepares logs: this machine, or Apache Beam on many."""
