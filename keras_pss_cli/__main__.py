"""`python -m keras_pss_cli`."""

from keras_pss_cli import main

if __name__ == "__main__":
    main()
