"""What `cmake --install` puts in place is enough to build a program against."""

import os
import pathlib
import shutil
import subprocess

import pytest

import program

CLIENT = r"""
#include <stdio.h>
#include <avvik/model.h>

int main(int argc, char **argv)
{
    struct avvik_model *model = NULL;
    struct avvik_error error;
    if (argc != 2 || avvik_model_load(argv[1], &model, &error) != AVVIK_OK)
        return fprintf(stderr, "%s\n", argc == 2 ? error.text : "which model?"), 1;
    struct avvik_model_summary summary;
    avvik_model_summarize(model, &summary);
    printf("%u %u\n", (unsigned)summary.trees, (unsigned)summary.n_features);
    avvik_model_free(model);
    return 0;
}
"""


def done(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_client_builds_through_pkg_config(model, tmp_path):
    build = pathlib.Path(program.AVVIK).parent
    if not (build / "cmake_install.cmake").exists():
        pytest.skip(f"{program.AVVIK} is not in a build folder")
    for tool in ("cmake", "gcc", "pkg-config"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    root = tmp_path / "installed"
    done("cmake", "--install", build, "--prefix", root)
    folder, = root.rglob("pkgconfig")
    env = dict(os.environ, PKG_CONFIG_PATH=str(folder), LD_LIBRARY_PATH=str(folder.parent))
    # The prefix was chosen at install time, so pkg-config is told it too.
    flags = done("pkg-config", f"--define-variable=prefix={root}", "--cflags", "--libs", "avvik", env=env).split()
    source = tmp_path / "client.c"
    source.write_text(CLIENT)
    done("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", source, "-o", tmp_path / "client", *flags)
    assert done(tmp_path / "client", model, env=env) == "20 5\n"
    assert done(root / "bin" / "avvik", "--version", env=env).startswith("avvik ")
    for header in (root / "include" / "avvik").glob("*.h"):
        done("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-x", "c", header, *flags)
