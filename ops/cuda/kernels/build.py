#!/usr/bin/env python3
"""Compiles the kernels ahead of time: all *.cu of this folder into one module for each architecture, in bin/.

    python3 build.py                 every architecture (what `go generate ./ops/cuda/...` runs)
    python3 build.py sm_90a          the named ones only, for work on a kernel; bin/ is then not complete
    python3 build.py --check         compile into memory and compare with bin/

The compiler is NVRTC in a pinned version from PyPI, installed into a virtual environment below the user's cache folder
(XDG_CACHE_HOME). It needs no GPU, no driver and no CUDA toolkit. The same sources give the same bytes.
"""
import concurrent.futures
import ctypes
import glob
import gzip
import hashlib
import io
import os
import subprocess
import sys
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(HERE, "bin")
PACKAGE, VERSION = "nvidia-cuda-nvrtc-cu12", "12.9.86"
TARGETS = ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120", "compute_80"]
OPTIONS = ["--std=c++17", "--device-as-default-execution-space"]


def sources():
    """The contents of all sources by name."""
    names = sorted(os.path.basename(p) for pattern in ("*.cu", "*.cuh") for p in glob.glob(os.path.join(HERE, pattern)))
    return {n: open(os.path.join(HERE, n), "rb").read() for n in names}


def digest(files):
    """What bin/sources.sha256 holds: a hash of the sources and of this script, which names compiler and options."""
    h = hashlib.sha256()
    script = open(os.path.abspath(__file__), "rb").read()
    for name, text in sorted({**files, "build.py": script}.items()):
        h.update(b"%s %d\n" % (name.encode(), len(text)))
        h.update(text)
    return h.hexdigest() + "\n"


def compiler():
    """The path of the NVRTC library, installed if need be."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.join(cache, "gorgonia-moe", f"{PACKAGE}-{VERSION}")
    found = lambda: glob.glob(os.path.join(home, "lib*", "python*", "site-packages", "nvidia", "cuda_nvrtc", "lib", "libnvrtc.so.12"))
    if not found():
        venv.create(home, with_pip=True)
        subprocess.run([os.path.join(home, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-deps",
                        f"{PACKAGE}=={VERSION}"], check=True)
    return found()[0]


class NVRTC:
    def __init__(self, path):
        # The library of the built-in functions lies beside it and is looked up by name only.
        for builtins in glob.glob(os.path.join(os.path.dirname(path), "libnvrtc-builtins.so.*")):
            ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.CDLL(path)
        self.lib.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *args):
        code = getattr(self.lib, name)(*args)
        if code != 0:
            raise RuntimeError(f"{name}: {self.lib.nvrtcGetErrorString(code).decode()}")

    def text(self, prog, size, get):
        n = ctypes.c_size_t()
        self.call(size, prog, ctypes.byref(n))
        buf = ctypes.create_string_buffer(n.value)
        self.call(get, prog, buf)
        return buf.raw

    def compile(self, files, target):
        """One translation unit that includes every .cu: a cubin, or PTX for a target compute_XX."""
        main = "".join(f'#include "{n}"\n' for n in files if n.endswith(".cu"))
        texts = (ctypes.c_char_p * len(files))(*files.values())
        names = (ctypes.c_char_p * len(files))(*(n.encode() for n in files))
        prog = ctypes.c_void_p()
        self.call("nvrtcCreateProgram", ctypes.byref(prog), main.encode(), b"kernels.cu", len(files), texts, names)
        try:
            options = [o.encode() for o in OPTIONS + [f"--gpu-architecture={target}"]]
            code = self.lib.nvrtcCompileProgram(prog, len(options), (ctypes.c_char_p * len(options))(*options))
            log = self.text(prog, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog").rstrip(b"\0").decode().strip()
            if log:
                print(log, file=sys.stderr)
            if code != 0:
                raise SystemExit(f"{target}: the kernels do not compile")
            if target.startswith("compute_"):
                return self.text(prog, "nvrtcGetPTXSize", "nvrtcGetPTX").rstrip(b"\0")
            return self.text(prog, "nvrtcGetCUBINSize", "nvrtcGetCUBIN")
        finally:
            self.lib.nvrtcDestroyProgram(ctypes.byref(prog))


def packed(code):
    """code in gzip's format without name and time."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as f:
        f.write(code)
    return out.getvalue()


def file_of(target):
    return os.path.join(BIN, target + (".ptx.gz" if target.startswith("compute_") else ".cubin.gz"))


def built(target, files):
    return packed(NVRTC(compiler()).compile(files, target))


def main(args):
    check = "--check" in args
    targets = [a for a in args if a != "--check"] or TARGETS
    files = sources()
    compiler()  # installed once, before the processes look for it
    with concurrent.futures.ProcessPoolExecutor(min(len(targets), os.cpu_count())) as pool:
        made = dict(zip(map(file_of, targets), pool.map(built, targets, [files] * len(targets))))
    if targets == TARGETS:
        made[os.path.join(BIN, "sources.sha256")] = digest(files).encode()
    if check:
        stale = [p for p, data in made.items() if not os.path.exists(p) or open(p, "rb").read() != data]
        if stale:
            raise SystemExit("stale, run go generate ./ops/cuda/...: " + " ".join(os.path.relpath(p, HERE) for p in stale))
        return
    os.makedirs(BIN, exist_ok=True)
    for path, data in made.items():
        with open(path, "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main(sys.argv[1:])
