// linear, grouped_linear, batched_linear: which product goes where. cuBLASLt takes single dense
// matrices of the compute type; the simple kernel everything else (scaled e4m3, mixed types,
// groups, odd rows).
#include "comm/communicator.h"
#include "cuda/cuda_error.h"
#include "cuda/cuda_ops.h"
#include "cuda/ops/matmul.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

int64_t batch_stride(const ConstTensorView& stacked) {
  return stacked.rank() == 3 ? stacked.stride(0) : 0;
}

// What all three ops have in common; y and x are [rows, .., width].
MatMul problem_of(TensorView y, ConstTensorView x, const WeightView& weight) {
  MatMul p;
  p.y = y.raw();
  p.x = x.raw();
  p.w = weight.data.raw();
  p.y_type = element_type(y.dtype());
  p.x_type = element_type(x.dtype());
  p.w_type = element_type(weight.data.dtype());
  p.m = x.dim(0);
  p.n = weight.rows();
  p.k = weight.cols();
  p.y_stride = y.stride(0);
  p.x_stride = x.stride(0);
  p.w_stride = weight.data.stride(-2);
  p.w_batch = batch_stride(weight.data);
  if (weight.quantized()) {
    p.scales = weight.scales.data<float>();
    p.scale_row = weight.scale_row.data<int32_t>();
    p.scale_stride = weight.scales.stride(-2);
    p.scale_batch = batch_stride(weight.scales);
    p.block_k = weight.block_k;
    p.phase_k = weight.phase_k;
  }
  return p;
}

}  // namespace

void CudaOps::run_matmul(const MatMul& p, const char* op) {
  enter();
  if (!CublasLt::fits(p)) {
    finish(cuda::simple_matmul(p, o_.stream), op);
    return;
  }
  // cuBLASLt's biases have the type of y. Ours are f32, so a bf16 result starts as the bias and the
  // product is added to it.
  const bool seed = p.bias != nullptr && p.y_type != ElementType::kF32;
  if (seed) {
    const Rows y{.data = p.y, .type = p.y_type, .n0 = p.m, .width = p.n, .stride0 = p.y_stride};
    finish(cuda::fill_rows(y, p.bias, o_.stream), op);
  }
  const Status status =
      o_.cublas->matmul(p, seed, o_.workspace.data(), o_.workspace.bytes(), o_.stream);
  if (!status.ok()) {
    throw DeviceError(fmt::format("{}: {}", op, status.message()));
  }
  finish(cudaGetLastError(), op);
}

void CudaOps::do_linear(TensorView y,
                        ConstTensorView x,
                        const WeightView& weight,
                        ConstTensorView bias) {
  MatMul p = problem_of(y, x, weight);
  p.bias = floats(bias);
  run_matmul(p, "linear");
}

void CudaOps::do_grouped_linear(TensorView y,
                                ConstTensorView x,
                                const WeightView& weight,
                                ConstTensorView offsets) {
  MatMul p = problem_of(y, x, weight);
  p.batches = weight.groups();
  p.offsets = offsets.data<int32_t>();
  run_matmul(p, "grouped_linear");
}

void CudaOps::do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) {
  MatMul p = problem_of(y, x, weight);
  p.batches = weight.groups();
  p.y_batch = y.stride(1);
  p.x_batch = x.stride(1);
  run_matmul(p, "batched_linear");
}

}  // namespace tutti::cuda
