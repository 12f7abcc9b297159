"""Programs that are compiled for a check: CUDA programs by nvcc, and C programs by a C compiler."""
import os
import shutil
import subprocess
from pathlib import Path

from harness import PROGRAMS, Failed, Skipped


def nvcc():
    """CUDA's compiler, if there is one."""
    places = [shutil.which("nvcc"), *(str(path / "bin" / "nvcc") for path in sorted(Path("/usr/local").glob("cuda*")))]
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            places.append(f"{os.environ[name]}/bin/nvcc")
    for place in places:
        if place and os.access(place, os.X_OK):
            return Path(place)
    raise Skipped("there is no nvcc")


BUILDS = {
    "static": ["-cudart", "static"],
    "shared": ["-cudart", "shared"],
    "per_thread": ["-cudart", "static", "--default-stream", "per-thread"],
    "pte_cost": ["-cudart", "static"],
}
# What is not made of runtime.cu.
SOURCES = {"pte_cost": "pte_cost.cu"}


def build(ground, variant):
    """Compiles a program of `BUILDS`, once for each variant. The program's path."""
    with ground.build_locks[variant]:
        if variant not in ground.built:
            try:
                ground.built[variant] = compiled(ground, variant)
            except (Failed, Skipped) as reason:
                ground.built[variant] = reason
    if isinstance(ground.built[variant], Exception):
        raise ground.built[variant]
    return ground.built[variant]


def compiled(ground, variant):
    compiler = nvcc()
    home = Path(os.path.realpath(compiler)).parent.parent
    flags = list(BUILDS[variant])
    folders = [home / part for part in ("lib64", "lib", "targets/x86_64-linux/lib") if (home / part).is_dir()]
    for folder in folders:
        flags += ["-L", folder]
    if variant == "shared":
        libraries = [path for folder in folders for path in sorted(folder.glob("libcudart.so*"))]
        if not libraries:
            raise Skipped("there is no libcudart.so beside nvcc")
        if not any(path.name == "libcudart.so" for path in libraries):
            # Installed without the link that `-cudart shared` asks for.
            flags = ["-cudart", "none", "-Xlinker", libraries[0], *flags[len(BUILDS[variant]):]]
        flags += ["-Xlinker", "-rpath", "-Xlinker", libraries[0].parent]
    result = ground.work / f"nvcc_{variant}"
    command = [compiler, "-O2", "-std=c++17", "-arch=sm_90", "-Wno-deprecated-declarations", *flags]
    source = PROGRAMS / SOURCES.get(variant, "runtime.cu")
    command = list(map(str, [*command, "-o", result, source, "-lpthread", "-ldl"]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    said = done.stdout + done.stderr
    (ground.out / f"build-{variant}.log").write_text("$ " + " ".join(command) + "\n" + said)
    if done.returncode:
        raise Failed(f"nvcc ended with {done.returncode}: {said[-400:]}")
    return result


def c_program(ground, name):
    """The path of the C program `programs/NAME.c`: compiled now, or the one in the dist folder where there is no compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        ready = ground.dist / "programs" / name
        if not ready.exists():
            raise Skipped(f"there is neither a C compiler nor {ready}")
        return ready
    result = ground.work / name
    with ground.build_locks[name]:
        if not result.exists():
            command = [compiler, "-O2", "-pthread", "-o", result, PROGRAMS / f"{name}.c", "-ldl"]
            subprocess.run(list(map(str, command)), check=True, timeout=60)
    return result
