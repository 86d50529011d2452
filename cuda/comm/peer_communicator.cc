#include "cuda/comm/peer_communicator.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "cuda/comm/peer_kernels.h"
#include "cuda/comm/peer_tuning.h"
#include "cuda/cuda_error.h"
#include "cuda/views.h"

namespace tutti::cuda {

namespace {

// The kernel divides positions by widths in 32 bits.
constexpr int64_t kMostElements = std::numeric_limits<uint32_t>::max();

}  // namespace

PeerCommunicator::PeerCommunicator(PeerGroup& group,
                                   int rank,
                                   CudaDevice& device,
                                   CudaStream& stream)
    : group_(group),
      rank_(rank),
      device_(device),
      stream_(stream),
      host_(group.threads().endpoint(rank)) {}

void PeerCommunicator::enter() const {
  if (group_.failed()) {
    throw DeviceError(group_.health().message());
  }
  throw_if_failed(cudaSetDevice(device_.index()), "cudaSetDevice");
}

PeerAlgorithm PeerCommunicator::choose(int64_t bytes) const {
  const PeerAlgorithm by = forced_.value_or(thresholds_.choose(bytes));
  return by == PeerAlgorithm::kFlagged && bytes > most_flagged_bytes() ? PeerAlgorithm::kPush : by;
}

int64_t PeerCommunicator::most_flagged_bytes() const {
  return flagged_bytes(group_.endpoint(rank_).layout);
}

void PeerCommunicator::all_reduce_sum(TensorView x) {
  TUTTI_CHECK(x.contiguous());
  TUTTI_CHECK(x.dtype() == DType::kF32 || x.dtype() == DType::kBF16);
  enter();
  const PeerReduce call{.peer = group_.endpoint(rank_),
                        .x = x.raw(),
                        .count = x.numel(),
                        .type = element_type(x.dtype())};
  throw_if_failed(peer_all_reduce(call, choose(x.bytes()), stream_.handle()), "all_reduce_sum");
}

const char* PeerCommunicator::all_reduce_algorithm(int64_t bytes) const {
  switch (choose(bytes)) {
    case PeerAlgorithm::kFlagged:
      return "ll";
    case PeerAlgorithm::kPush:
      return "one_shot";
    case PeerAlgorithm::kTwoShot:
      break;
  }
  return "two_shot";
}

bool PeerCommunicator::all_reduce_add_rms_norm(const AllReduceAddRmsNorm& args) {
  const TensorView& x = args.x;
  TUTTI_CHECK(x.rank() == 2 && x.contiguous());
  TUTTI_CHECK(x.dtype() == DType::kF32 || x.dtype() == DType::kBF16);
  TUTTI_CHECK(args.y.dtype() == x.dtype() && args.residual.dtype() == DType::kF32);
  TUTTI_CHECK(args.y.shape() == x.shape() && args.residual.shape() == x.shape());
  TUTTI_CHECK_EQ(args.weight.dim(0), x.dim(1));
  if (!peer_fuses_norm(x.dim(1), element_type(x.dtype())) ||
      choose(x.bytes()) != PeerAlgorithm::kFlagged) {
    return false;
  }
  enter();
  const PeerReduceNorm call{.x = {.peer = group_.endpoint(rank_),
                                  .op = PeerOp::kAllReduceAddRmsNorm,
                                  .x = x.raw(),
                                  .count = x.numel(),
                                  .type = element_type(x.dtype())},
                            .y = {args.y.raw(), args.y.stride(0)},
                            .residual = {args.residual.data<float>(), args.residual.stride(0)},
                            .weight = args.weight.data<float>(),
                            .eps = args.eps,
                            .rows = x.dim(0),
                            .width = x.dim(1)};
  throw_if_failed(peer_all_reduce_add_rms_norm(call, stream_.handle()), "all_reduce_add_rms_norm");
  return true;
}

void PeerCommunicator::gather(const PeerGather& call, const char* op) {
  TUTTI_CHECK_LE(call.rows * call.out_stride, kMostElements);
  enter();
  // A gather has no second shot.
  const PeerAlgorithm by = choose(call.bytes()) == PeerAlgorithm::kFlagged ? PeerAlgorithm::kFlagged
                                                                           : PeerAlgorithm::kPush;
  throw_if_failed(peer_gather(call, by, stream_.handle()), op);
}

PeerGather PeerCommunicator::columns(TensorView out,
                                     ConstTensorView in,
                                     std::span<const int64_t> widths) const {
  TUTTI_CHECK_EQ(ssize(widths.size()), int64_t{size()});
  TUTTI_CHECK_EQ(in.dim(1), widths[usize(rank_)]);
  TUTTI_CHECK(dtype_size(in.dtype()) == 4 && dtype_size(out.dtype()) == 4);
  PeerGather call{.peer = group_.endpoint(rank_),
                  .in = in.raw(),
                  .in_stride = in.stride(0),
                  .out = out.raw(),
                  .out_stride = out.stride(0),
                  .rows = in.dim(0)};
  int64_t offset = 0;
  for (size_t r = 0; r < widths.size(); ++r) {
    call.width[r] = widths[r];
    call.offset[r] = offset;
    offset += widths[r];
  }
  TUTTI_CHECK_EQ(out.dim(1), offset);
  return call;
}

void PeerCommunicator::all_gather_columns(TensorView out,
                                          ConstTensorView in,
                                          std::span<const int64_t> widths) {
  TUTTI_CHECK_EQ(in.dim(0), out.dim(0));
  gather(columns(out, in, widths), "all_gather_columns");
}

void PeerCommunicator::exchange_rows(const ExchangeRows& args) {
  PeerGather call = columns(args.out, args.in, args.widths);
  call.op = PeerOp::kExchangeRows;
  TUTTI_CHECK_EQ(args.out.dim(0), row_share(call.rows, rank_, size()).count);
  TUTTI_CHECK_LE(call.rows * call.out_stride, kMostElements);
  enter();
  throw_if_failed(peer_exchange_rows(call, stream_.handle()), "exchange_rows");
}

void PeerCommunicator::broadcast(const Broadcast& args) {
  TUTTI_CHECK(args.root >= 0 && args.root < size() && args.x.contiguous());
  const int64_t bytes = args.x.bytes();
  const bool words = bytes % 4 == 0 && reinterpret_cast<uintptr_t>(args.x.raw()) % 4 == 0;
  const int element_bytes = words ? 4 : 1;
  PeerGather call{.peer = group_.endpoint(rank_),
                  .op = PeerOp::kBroadcast,
                  .element_bytes = element_bytes,
                  .in = args.x.raw(),
                  .in_stride = bytes / element_bytes,
                  .out = args.x.raw(),
                  .out_stride = bytes / element_bytes,
                  .rows = 1};
  call.width[usize(args.root)] = bytes / element_bytes;
  gather(call, "broadcast");
}

void PeerCommunicator::tune() {
  enter();
  // The tuner's memory is freed before the barrier: freeing waits for the device, where nobody may
  // wait for this rank by then.
  const std::vector<PeerSample> samples = PeerTuner(*this, device_, stream_).measure();
  if (rank_ == 0) {
    group_.agreed = choose_thresholds(samples);
  }
  barrier();
  thresholds_ = group_.agreed;
  barrier();  // nobody measures again before all have read
}

Status PeerCommunicator::set_tuning(std::string_view text) {
  TUTTI_TRY(thresholds_, parse_thresholds(text));
  return ok_status();
}

}  // namespace tutti::cuda
