#!/usr/bin/env bash
# What one would guess: `mma.sync` with e4m3 operands, which PTX has for sm_89 and later, runs on the FP8 matrix units of
#   every GPU that has such units: Ada (sm_89), Hopper (sm_90), Blackwell.
# What happens: for sm_89 and sm_120 ptxas makes one QMMA instruction of it. For sm_90, sm_90a and sm_100a it turns both
#   operands into f16, two values an instruction, and multiplies with two HMMA of half the depth: the FP8 units of these GPUs
#   are reached by warp-group instructions only. The result is right.
# Why it matters here: a product of few rows by FP8 weights, which wants mma.sync, gains nothing in speed from activations in
#   FP8 on Hopper. It may as well keep them in 16 bits, as f16 and not as bf16: then the conversion of the weights is the one
#   instruction that the compiler uses here (cuda/kernels/few_rows_input.cuh).
# x86-64 Linux, Python 3 with pip, network; some 110 MB in a temporary folder. No GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-deps nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-nvdisasm==13.2.51
toolkit=$(echo "$work"/venv/lib/python3*/site-packages/nvidia/cu13)
cat > "$work/product.cu" << 'END'
__global__ void product(float* d, const unsigned* a, const unsigned* b) {
  float s[4] = {d[0], d[1], d[2], d[3]};
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  d[0] = s[0];
  d[1] = s[1];
  d[2] = s[2];
  d[3] = s[3];
}
END
"$toolkit/bin/nvcc" --version | tail -n 1
# instructions ARCHITECTURE: those that convert or multiply, with their numbers
instructions() {
  "$toolkit/bin/nvcc" -arch="$1" -cubin -o "$work/$1.cubin" "$work/product.cu"
  "$toolkit/bin/nvdisasm" -c "$work/$1.cubin" | grep -oE '(QMMA|HMMA)[.A-Z0-9]*|F2FP[.A-Z0-9]*E4M3[.A-Z0-9_]*' | sort | uniq -c |
    awk '{printf "%s%s x %s", (NR > 1 ? ", " : ""), $1, $2}'
}
changed=0
for architecture in sm_89 sm_120a; do
  said=$(instructions "$architecture")
  printf '%-8s %s\n' "$architecture" "$said"
  [[ "$said" == *QMMA* && "$said" != *HMMA* ]] || changed=1
done
for architecture in sm_90 sm_90a sm_100a; do
  said=$(instructions "$architecture")
  printf '%-8s %s\n' "$architecture" "$said"
  [[ "$said" == *"F2FP.F16.E4M3"* && "$said" == *"2 x HMMA.16816.F32"* && "$said" != *QMMA* ]] || changed=1
done
((changed == 0)) || { echo "this has changed" >&2; exit 1; }
# Seen: CUDA 13.0.88:
#   sm_89    1 x QMMA.16832.F32.E4M3.E4M3
#   sm_120a  1 x QMMA.16832.F32.E4M3.E4M3
#   sm_90    12 x F2FP.F16.E4M3.UNPACK_B, 2 x HMMA.16816.F32
#   sm_90a   the same
#   sm_100a  the same
