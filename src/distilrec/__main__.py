"""`python -m distilrec` is the `distilrec` command."""

from distilrec.cli import main

if __name__ == "__main__":
    main()
