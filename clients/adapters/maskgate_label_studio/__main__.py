"""`python -m maskgate_label_studio`: listen for Label Studio."""

from maskgate_label_studio.server import main

if __name__ == "__main__":
    main()
