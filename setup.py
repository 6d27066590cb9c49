"""The folder `app` installs as `parakeet_stt`, so it never collides with another service's `app`."""

from setuptools import find_packages, setup

setup(
    package_dir={"parakeet_stt": "app"},
    packages=["parakeet_stt", *(f"parakeet_stt.{name}" for name in find_packages("app"))],
)
