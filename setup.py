"""The packages, which setuptools cannot find by itself: the folders at the root are imported below `dpedtool`."""

from setuptools import find_packages, setup

FOLDERS = ("pipeline", "dataset", "training")

setup(
    package_dir={"dpedtool": "dpedtool", **{f"dpedtool.{folder}": folder for folder in FOLDERS}},
    packages=["dpedtool", "dpedtool.api"]
    + [f"dpedtool.{folder}" for folder in FOLDERS]
    + [f"dpedtool.{folder}.{package}" for folder in FOLDERS for package in find_packages(folder)],
)
