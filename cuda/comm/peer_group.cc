#include "cuda/comm/peer_group.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "base/checked.h"
#include "base/units.h"
#include "cuda/comm/peer_kernels.h"
#include "cuda/cuda_error.h"

namespace tutti::cuda {

namespace {

// The largest message that may travel as flagged data, and one half of the room for the others:
// pieces of 1 MiB pushed by each of 8 ranks, and slices of 512 KiB.
constexpr int32_t kLines = (256 << 10) / 8;
constexpr int64_t kBulkBytes = int64_t{8} << 20;

MailboxLayout layout_of(int ranks) {
  const int64_t unit = int64_t{32} * ranks;
  return {.ranks = ranks, .lines = kLines + 1, .bulk_bytes = kBulkBytes / unit * unit};
}

// Half of a GPU's multiprocessors may have a block that waits; the others compute what is waited
// for.
int max_blocks(const std::vector<CudaDeviceInfo>& placement) {
  int least = kMaxPeerBlocks;
  for (const CudaDeviceInfo& gpu : placement) {
    const auto sharing = std::ranges::count(placement, gpu.index, &CudaDeviceInfo::index);
    least = std::min(least, gpu.multiprocessors / 2 / static_cast<int>(sharing));
  }
  return std::max(least, 1);
}

const char* name_of(PeerOp op) {
  switch (op) {
    case PeerOp::kAllReduceSum:
      return "all_reduce_sum";
    case PeerOp::kAllGatherColumns:
      return "all_gather_columns";
    case PeerOp::kExchangeRows:
      return "exchange_rows";
    case PeerOp::kBroadcast:
      return "broadcast";
    case PeerOp::kAllReduceAddRmsNorm:
      return "all_reduce_add_rms_norm";
  }
  return "a collective";
}

// 28672 -> "28,672"
std::string with_commas(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(usize(at), ",");
  }
  return digits;
}

std::string describe_failure(const PeerFailure& failure, int ranks) {
  return fmt::format(
      "{} ({} bytes): rank {} waited {} for rank {}, which did not arrive; the group of {} ranks "
      "is given up. Look for what stopped rank {}, or allow collectives more time",
      name_of(failure.op),
      with_commas(failure.bytes),
      failure.rank,
      format_seconds(static_cast<double>(failure.waited_ns) * 1e-9),
      failure.peer,
      ranks,
      failure.peer);
}

}  // namespace

int64_t peer_mailbox_bytes(int ranks) {
  return layout_of(ranks).bytes() + ssize(sizeof(PeerLocal));
}

void PeerGroup::FreePinned::operator()(char* memory) const {
  cudaFreeHost(memory);
}

Result<PeerGroup::Pinned> PeerGroup::allocate_pinned(int64_t bytes, const char* what) {
  void* memory = nullptr;
  const cudaError_t code =
      cudaHostAlloc(&memory, usize(bytes), cudaHostAllocPortable | cudaHostAllocMapped);
  if (code != cudaSuccess) {
    cudaGetLastError();  // otherwise the next launch would report it
    return error(StatusCode::kOutOfMemory,
                 "{}: {} of pinned host memory: {}",
                 what,
                 format_bytes(bytes),
                 cuda::describe(code));
  }
  std::fill_n(static_cast<char*>(memory), bytes, char{0});
  return Pinned(static_cast<char*>(memory));
}

PeerGroup::PeerGroup(const PeerGroupOptions& options)
    : placement_(options.placement), threads_(static_cast<int>(options.placement.size())) {
  for (const CudaDeviceInfo& gpu : placement_) {
    devices_.push_back(std::make_unique<CudaDevice>(gpu.index, gpu.name));
  }
}

Result<std::unique_ptr<PeerGroup>> PeerGroup::create(const PeerGroupOptions& options) {
  const auto ranks = static_cast<int>(options.placement.size());
  if (ranks < 1 || ranks > kMaxPeers) {
    return error(StatusCode::kUnsupported,
                 "{} ranks: GPUs work together in groups of 1 to {}",
                 ranks,
                 kMaxPeers);
  }
  std::unique_ptr<PeerGroup> group(new PeerGroup(options));
  TUTTI_RETURN_IF_ERROR(group->connect(options.peer_access));
  PeerEndpoint endpoint;
  endpoint.timeout_ns = std::chrono::nanoseconds(options.timeout).count();
  endpoint.layout = layout_of(ranks);
  endpoint.max_blocks = max_blocks(options.placement);
  endpoint.alone = ssize(group->gpus()) == ranks;
  endpoint.direct = group->direct();
  for (int rank = 0; rank < ranks; ++rank) {
    endpoint.rank = rank;
    group->endpoints_.push_back(endpoint);
  }
  TUTTI_RETURN_IF_ERROR(group->allocate());
  return group;
}

PeerGroup::~PeerGroup() {
  abandon();
  for (const int gpu : gpus()) {
    cudaSetDevice(gpu);
    cudaDeviceSynchronize();
  }
}

std::vector<int> PeerGroup::gpus() const {
  std::vector<int> gpus;
  for (const CudaDeviceInfo& gpu : placement_) {
    if (std::ranges::find(gpus, gpu.index) == gpus.end()) {
      gpus.push_back(gpu.index);
    }
  }
  return gpus;
}

// Each pair once; never to oneself.
Status PeerGroup::connect(bool peer_access) {
  direct_ = peer_access;
  for (const int from : gpus()) {
    for (const int to : gpus()) {
      int possible = 1;
      if (from != to) {
        TUTTI_RETURN_IF_ERROR(
            check(cudaDeviceCanAccessPeer(&possible, from, to), "cudaDeviceCanAccessPeer"));
      }
      direct_ = direct_ && possible != 0;
    }
  }
  for (const int from : direct_ ? gpus() : std::vector<int>{}) {
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(from), "cudaSetDevice"));
    for (const int to : gpus()) {
      const cudaError_t code = from == to ? cudaSuccess : cudaDeviceEnablePeerAccess(to, 0);
      if (code == cudaErrorPeerAccessAlreadyEnabled) {
        cudaGetLastError();  // by another group; otherwise the next launch would report it
      } else if (code != cudaSuccess) {
        return error(StatusCode::kDevice,
                     "GPU {} cannot reach the memory of GPU {}: {}",
                     from,
                     to,
                     cuda::describe(code));
      }
    }
  }
  return ok_status();
}

Result<char*> PeerGroup::allocate_mailbox(CudaDevice& device, int64_t bytes) {
  if (!direct_) {
    TUTTI_TRY(Pinned memory, allocate_pinned(bytes, "mailbox of a rank"));
    pinned_.push_back(std::move(memory));
    return pinned_.back().get();
  }
  TUTTI_TRY(Buffer buffer, Buffer::allocate(device, bytes, "mailbox of a rank"));
  TUTTI_RETURN_IF_ERROR(check(cudaMemset(buffer.data(), 0, usize(bytes)), "cudaMemset"));
  buffers_.push_back(std::move(buffer));
  return static_cast<char*>(buffers_.back().data());
}

Status PeerGroup::allocate() {
  TUTTI_TRY(shared_memory_, allocate_pinned(ssize(sizeof(PeerShared)), "state of a group"));
  shared_ = new (shared_memory_.get()) PeerShared;
  std::vector<char*> mailboxes;
  for (size_t rank = 0; rank < endpoints_.size(); ++rank) {
    CudaDevice& device = *devices_[rank];
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(device.index()), "cudaSetDevice"));
    TUTTI_TRY(char* const mailbox, allocate_mailbox(device, endpoints_[rank].layout.bytes()));
    mailboxes.push_back(mailbox);
    TUTTI_TRY(Buffer local, Buffer::allocate(device, ssize(sizeof(PeerLocal)), "state of a rank"));
    TUTTI_RETURN_IF_ERROR(check(cudaMemset(local.data(), 0, sizeof(PeerLocal)), "cudaMemset"));
    endpoints_[rank].local = static_cast<PeerLocal*>(local.data());
    endpoints_[rank].shared = shared_;
    buffers_.push_back(std::move(local));
  }
  for (PeerEndpoint& endpoint : endpoints_) {
    std::ranges::copy(mailboxes, endpoint.mailbox);
  }
  for (const int gpu : gpus()) {
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu), "cudaSetDevice"));
    TUTTI_RETURN_IF_ERROR(check(load_peer_kernels(size()), "loading the kernels of collectives"));
    TUTTI_RETURN_IF_ERROR(check(cudaDeviceSynchronize(), "clearing mailboxes"));
  }
  return ok_status();
}

std::string PeerGroup::describe() const {
  const size_t count = gpus().size();
  return fmt::format("{} ranks on {} GPU{}, {}",
                     size(),
                     count,
                     count == 1 ? "" : "s",
                     direct_ ? "direct" : "through host memory");
}

void PeerGroup::abandon() {
  if (shared_ != nullptr) {
    std::atomic_ref(shared_->aborted).store(1, std::memory_order_release);
  }
}

void PeerGroup::abort(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) {
      reason_ = reason;
    }
  }
  abandon();
  threads_.abort(reason);
}

bool PeerGroup::failed() const {
  return std::atomic_ref(shared_->aborted).load(std::memory_order_acquire) != 0;
}

Status PeerGroup::health() const {
  if (!failed()) {
    return ok_status();
  }
  const PeerFailure* first = nullptr;
  for (PeerFailure& failure : shared_->failures) {
    const bool written = std::atomic_ref(failure.written).load(std::memory_order_acquire) != 0;
    if (written && (first == nullptr || failure.at_ns < first->at_ns)) {
      first = &failure;
    }
  }
  if (first != nullptr) {
    return {StatusCode::kDevice, describe_failure(*first, size())};
  }
  const std::lock_guard lock(mutex_);
  return error(StatusCode::kDevice, "collective stopped: {}", reason_);
}

}  // namespace tutti::cuda
