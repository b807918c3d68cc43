"""What a container starts: in the image this file stands beside the `executor` package."""

from executor.runtime.supervisor import main

if __name__ == "__main__":
    main()
