#!/bin/bash
# Builds a wheel of PyCUDA with g++ and the package index alone: no CUDA toolkit, no driver.
#
#   pycuda-wheel.sh PYTHON FOLDER
#
# The headers come from NVIDIA's wheels; with those of CUDA 12.4 PyCUDA asks the driver for nothing
# that old drivers lack. It links libcuda, which only a driver brings: an empty library of that
# name stands in. What it would wrap of cuRAND is left out, which only its defaults file can say.
set -euo pipefail

python=$1
folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home" "$work/stub" "$work/include" "$folder"

"$python" -m pip install --quiet --no-cache-dir --no-deps --target "$work/headers" \
	nvidia-cuda-nvcc-cu12==12.4.131 \
	nvidia-cuda-profiler-api-cu12==12.4.127 \
	nvidia-cuda-runtime-cu12==12.4.127
for headers in "$work"/headers/nvidia/*/include; do
	cp -r "$headers/." "$work/include/"
done
echo | gcc -shared -x c - -o "$work/stub/libcuda.so" -Wl,-soname,libcuda.so.1

cat >"$work/home/.aksetup-defaults.py" <<END
CUDA_ROOT = "$work"
CUDA_INC_DIR = ["$work/include"]
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = ["$work/stub"]
CUDART_LIB_DIR = ["$work/stub"]
END
HOME=$work/home "$python" -m pip wheel --quiet --no-cache-dir --no-deps --no-binary pycuda \
	--wheel-dir "$folder" pycuda==2026.1
