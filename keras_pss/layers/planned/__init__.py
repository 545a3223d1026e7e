"""What `method="auto"` chooses, decided by numbers alone: sizes and counts.

No layer is created here. The table that explains a choice and its file are in
`keras_pss/planning`.
"""
