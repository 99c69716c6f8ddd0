"""``python -m engine +sweep=NAME``; the console command is ``isoloss``."""

from engine.command_line import main

if __name__ == "__main__":
    main()
